"""The faster forms compute what transformers' own modules compute."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection
from transformers.models.grounding_dino import modeling_grounding_dino as stock

from autolabel_grounding_dino import torch_kernel
from autolabel_grounding_dino.attention import TablelessAttention
from autolabel_grounding_dino.deformable import FusedAttention, Kernel, NumbaKernel, numba_kernel, quickened
from autolabel_grounding_dino.features import _SHAPES
from autolabel_grounding_dino.feed_forward import ROWS, FeedForward
from autolabel_grounding_dino.fusion import ReassociatedFusion
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_grounding_dino.network import _sine_code
from autolabel_grounding_dino.text import phrase_blocks
from autolabel_labeling.tensors import PixelBatch
from tests.labelers.tiny_models import photo
from tests.since import since

SEPARATORS = torch.tensor([101, 102, 1012, 1029])


def deformable(shapes: list[tuple[int, int]], *, boxes: bool, masked: bool) -> tuple[Any, dict[str, Any]]:
    """Return a random attention module of transformers with arguments that reach beyond the maps."""
    torch.manual_seed(len(shapes))
    config = GroundingDinoConfig(d_model=24, num_feature_levels=len(shapes))
    module = stock.GroundingDinoMultiscaleDeformableAttention(config, num_heads=3, n_points=2).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    spatial = torch.tensor(shapes)
    count = int(spatial.prod(1).sum())
    places = torch.randn(2, count, 24)
    arguments = {
        "hidden_states": torch.randn(2, 11, 24),
        "position_embeddings": torch.randn(2, 11, 24),
        "encoder_hidden_states": places,
        "attention_mask": torch.rand(2, count) < 0.6 if masked else torch.ones(2, count, dtype=torch.bool),
        "reference_points": torch.rand(2, 11, len(shapes), 4 if boxes else 2) * 1.2 - 0.1,
        "spatial_shapes": spatial,
        "spatial_shapes_list": shapes,
        "level_start_index": torch.cat([spatial.new_zeros(1), spatial.prod(1).cumsum(0)[:-1]]),
    }
    return module, arguments


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("shapes", [[(7, 5), (4, 3), (1, 1)], [(1, 9)], [(13, 8), (6, 4)]])
@pytest.mark.parametrize("kernel", [NumbaKernel(), torch_kernel.attend])
def test_fused_attention_is_that_of_transformers(
    kernel: Kernel, shapes: list[tuple[int, int]], boxes: bool, masked: bool
) -> None:
    module, arguments = deformable(shapes, boxes=boxes, masked=masked)
    with torch.no_grad():
        expected, _ = module(**arguments)
        result, _ = FusedAttention(module, kernel)(**arguments)
        still, _ = FusedAttention(module, kernel)(**arguments | {"position_embeddings": None})
    assert torch.allclose(result, expected, atol=2e-5)
    assert not torch.allclose(still, expected, atol=1e-2)


def test_compiled_attention_is_equal_for_any_number_of_threads() -> None:
    draw = torch.Generator().manual_seed(0)
    shapes, starts = torch.tensor([[9, 9], [4, 4]]), torch.tensor([0, 81])
    value = torch.randn(2, 97, 3, 8, generator=draw)
    references = torch.rand(2, 11, 2, 4, generator=draw)
    drawn = torch.randn(2, 11, 3 * 2 * 2 * 3, generator=draw)
    kernel, before = NumbaKernel(), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5, 40):
            torch.set_num_threads(threads)
            results.append(kernel(value, shapes, starts, references, drawn))
    finally:
        torch.set_num_threads(before)
    assert results[0].abs().sum() > 0
    assert all(torch.equal(result, results[0]) for result in results)


def test_compiled_attention_takes_values_of_16_bits() -> None:
    draw = torch.Generator().manual_seed(1)
    shapes, starts = torch.tensor([[9, 9], [4, 4]]), torch.tensor([0, 81])
    value = torch.randn(2, 97, 3, 8, generator=draw).bfloat16()
    references = torch.rand(2, 11, 2, 2, generator=draw)
    drawn = 3 * torch.randn(2, 11, 3 * 2 * 2 * 3, generator=draw)
    expected = NumbaKernel()(value.float(), shapes, starts, references, drawn)
    assert torch.equal(NumbaKernel()(value, shapes, starts, references, drawn), expected)
    assert torch.allclose(expected, torch_kernel.attend(value.float(), shapes, starts, references, drawn), atol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_places_that_are_no_places_are_outside(bad: float) -> None:
    shapes, starts = torch.tensor([[3, 5]]), torch.tensor([0])
    value, references = torch.ones(1, 15, 1, 4), torch.full((1, 2, 1, 2), 0.5)
    drawn = torch.zeros(1, 2, 3)
    drawn[0, 1, 0] = bad
    result = NumbaKernel()(value, shapes, starts, references, drawn)
    assert result[0, 0, 0, 0] == 1 and result[0, 1].abs().sum() == 0


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "mps"])
def test_each_device_gets_its_form(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel_grounding_dino.deformable.triton_kernel", lambda device: "triton's")
    monkeypatch.setattr("autolabel_grounding_dino.deformable.find_spec", lambda name: True)
    module, _ = deformable([(2, 2)], boxes=False, masked=False)
    form = quickened(module, device)
    if device == "mps":
        assert form is module
    else:
        assert form._kernel == {"cpu": numba_kernel(), "cuda:0": "triton's"}[device]


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_without_numba_and_triton_the_torch_form_is_used(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel_grounding_dino.deformable.find_spec", lambda name: None)
    module, _ = deformable([(2, 2)], boxes=False, masked=False)
    assert quickened(module, device)._kernel is torch_kernel.attend


@pytest.mark.parametrize("rows", [1, ROWS, ROWS + 1, 2 * ROWS + 7])
def test_feed_forward_in_parts_is_that_of_the_whole(rows: int) -> None:
    widen, narrow = torch.nn.Linear(8, 32), torch.nn.Linear(32, 8)
    hidden = torch.randn(2, rows, 8)
    with torch.no_grad():
        expected = narrow(widen(hidden).relu())
        result = FeedForward(widen, narrow)(hidden)
    assert result.shape == expected.shape
    assert torch.allclose(result, expected, atol=1e-6)


def test_every_layer_of_a_loaded_network_has_its_quick_parts(detector: GroundingDino) -> None:
    kinds = [type(module).__name__ for module in detector.network._model.modules()]
    assert kinds.count("FusedAttention") == 2 + 2
    assert kinds.count("FeedForward") == 2 + 2 + 2


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [4, 23])
def test_fusion_is_that_of_transformers(masked: bool, tokens: int) -> None:
    torch.manual_seed(tokens)
    config = GroundingDinoConfig(d_model=24, encoder_ffn_dim=64, encoder_attention_heads=4)
    layer = stock.GroundingDinoBiMultiHeadAttention(config).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    vision, text = torch.randn(2, 37, 24), torch.randn(2, tokens, 24)
    hidden_places = torch.rand(2, 37) < 0.3 if masked else torch.zeros(2, 37, dtype=torch.bool)
    hidden_tokens = torch.rand(2, tokens) < 0.3 if masked else torch.zeros(2, tokens, dtype=torch.bool)
    hidden_places[:, 0] = hidden_tokens[:, 0] = False
    with torch.no_grad():
        expected = layer(vision, text, hidden_places, hidden_tokens)
        result = ReassociatedFusion(layer)(vision, text, hidden_places, hidden_tokens)
        unmasked = ReassociatedFusion(layer)(vision, text)
    for side in (0, 1):
        assert torch.allclose(result[side][0], expected[side][0], atol=2e-5)
        assert torch.allclose(unmasked[side][0], expected[side][0], atol=2e-5) is not masked


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_that_of_transformers(masked: bool) -> None:
    torch.manual_seed(1)
    layer = stock.GroundingDinoMultiheadAttention(GroundingDinoConfig(d_model=24), num_attention_heads=4).eval()
    queries, tokens = torch.randn(2, 9, 24), torch.randn(2, 5, 24)
    hidden = torch.zeros(2, 1, 1, 5)
    hidden[0, ..., 3:] = torch.finfo(torch.float32).min
    mask = hidden if masked else None
    with torch.no_grad():
        (expected,) = layer(queries, tokens, tokens, mask)
        result, _ = TablelessAttention(layer)(queries, tokens, tokens, mask, output_attentions=True)
        unmasked, _ = TablelessAttention(layer)(queries, tokens, tokens)
    assert torch.allclose(result, expected, atol=1e-6)
    assert torch.allclose(unmasked, expected, atol=1e-6) is not masked


def test_every_attention_of_a_loaded_network_is_the_fast_one(detector: GroundingDino) -> None:
    kinds = [type(module).__name__ for module in detector.network._model.modules()]
    assert kinds.count("TablelessAttention") == 2 + 2 * 2
    assert "GroundingDinoMultiheadAttention" not in kinds


@since("transformers", "5.23", "positions restarted elsewhere, and separators were fixed")
@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([5, 6, 7, 1012, 1029, 101]), max_size=20), st.booleans())
def test_phrases_see_themselves_as_in_transformers(body: list[int], closed: bool) -> None:
    ids = torch.tensor([101, *body, *([1012] if closed else []), 102])
    attends, positions = phrase_blocks(ids)
    wanted, wanted_positions = stock.generate_masks_with_special_tokens_and_transfer_map(ids[None], SEPARATORS)  # type: ignore[arg-type]
    assert torch.equal(attends, wanted[0])
    assert torch.equal(positions, wanted_positions[0])


def test_the_position_code_of_boxes_is_that_of_transformers() -> None:
    boxes = torch.rand(2, 5, 4)
    expected = stock.encode_sinusoidal_position_embedding(boxes, num_pos_feats=16)
    assert torch.allclose(_sine_code(boxes, 16), expected, atol=1e-5)
    assert _sine_code(boxes, 16)[0, 0, 0] == pytest.approx(math.sin(float(boxes[0, 0, 1]) * 2 * math.pi), abs=1e-6)


@since("transformers", "5.23", "the codes of positions in a phrase were rounded to whole numbers")
@pytest.mark.parametrize("padded", [False, True])
def test_the_network_answers_as_transformers_forward_does(detector: GroundingDino, folder: Path, padded: bool) -> None:
    reference = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 72, 96, generator=torch.Generator().manual_seed(3))
    valid = torch.ones(2, 72, 96, dtype=torch.bool)
    captions = [detector.captions(photo(8, 8, *phrases).prompt)[0].ids for phrases in (("cat", "dog"), ("red car",))]
    if padded:
        valid[0, 60:], valid[1, :, 70:] = False, False
        pixels = pixels * valid[:, None]
    length = max(map(len, captions))
    ids = torch.tensor([[*caption, *[0] * (length - len(caption))] for caption in captions])
    with torch.inference_mode():
        expected = reference(pixels, ids, attention_mask=ids != 0, pixel_mask=valid.long())
        answer = detector.network.ask(detector.network.see(PixelBatch(pixels, valid, whole=not padded)), captions)
    assert torch.allclose(answer.logits, expected.logits[..., :length], atol=5e-4)
    assert torch.allclose(answer.boxes, expected.pred_boxes, atol=5e-5)
    assert answer.logits[0].std() > 0.5
    assert answer.boxes.std() > 0.05


def test_position_codes_are_kept_for_some_shapes_of_images_without_padding(detector: GroundingDino) -> None:
    vision = detector.network.vision

    def seen(height: int, width: int, *, padded: int = 0) -> torch.Tensor:
        valid = torch.ones(2, height, width, dtype=torch.bool)
        valid[1, height - padded :] = False
        pixels = torch.zeros(2, 3, height, width)
        with torch.inference_mode():
            return vision.encode(PixelBatch(pixels, valid, whole=not padded)).positions

    vision._codes.clear()
    first = seen(72, 96)
    assert torch.equal(seen(72, 96), first) and len(vision._codes) == 1
    assert torch.equal(seen(72, 96, padded=32)[0], first[0])
    assert not torch.equal(seen(72, 96, padded=32)[1], first[1])
    assert len(vision._codes) == 1
    for width in range(64, 320, 32):
        seen(72, width)
    assert len(vision._codes) == _SHAPES
    assert torch.equal(seen(72, 96), first)


def test_bfloat16_moves_answers_a_little(folder: Path) -> None:
    answers = []
    for precision in ("float32", "bfloat16"):
        detector = GroundingDino(
            GroundingDino.Params.model_validate({"checkpoint": str(folder), "precision": precision})
        )
        detector.load("cpu")
        pixels = torch.randn(2, 3, 72, 96, generator=torch.Generator().manual_seed(3))
        captions = [detector.captions(photo(8, 8, "cat", "dog").prompt)[0].ids] * 2
        with torch.inference_mode():
            features = detector.network.see(PixelBatch(pixels, torch.ones(2, 72, 96, dtype=torch.bool), whole=True))
            answers.append(detector.network.ask(features, captions))
    exact, half = answers
    assert half.logits.dtype == half.boxes.dtype == torch.float32
    apart = (exact.boxes - half.boxes).abs()
    assert 0 < apart.median() < 0.02
