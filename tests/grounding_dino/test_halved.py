"""The layers that multiply in bfloat16 on a CPU: which they are, and how near they stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import GroundingDinoConfig
from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoBiMultiHeadAttention

from autolabel_grounding_dino.fusion import ReassociatedFusion
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling import half
from autolabel_labeling.half import Activation, HalfLinear, HalfPerceptron, LaidOutLinear, halve

ACTIVATIONS: dict[Activation, Any] = {"none": lambda rows: rows, "relu": functional.relu, "gelu": functional.gelu}


@pytest.fixture(params=[True, False], ids=["packed", "plain"], autouse=True)
def packs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try oneDNN's layers, where this processor has them, and torch's own."""
    if not request.param:
        monkeypatch.setattr(half, "_packs", lambda: False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(3,), (0,), (2, 5), (1, 1500)])
def test_a_layer_is_near_the_one_in_float32(shape: tuple[int, ...], activation: Activation, bias: bool) -> None:
    torch.manual_seed(0)
    stock, rows = nn.Linear(24, 16, bias=bias), torch.randn(*shape, 24)
    with torch.inference_mode():
        expected = ACTIVATIONS[activation](stock(rows))
        result = HalfLinear(stock, activation=activation)(rows)
        narrow = HalfLinear(stock, activation=activation, result=torch.bfloat16)(rows)
    assert result.dtype == torch.float32 and result.shape == expected.shape
    assert torch.allclose(result, expected, atol=0.03)
    assert narrow.dtype == torch.bfloat16 and torch.equal(narrow.float(), result)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (0,), (2, 5), (1, 1500)])
def test_a_layer_that_is_laid_out_stays_in_float32(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    stock, rows = nn.Linear(24, 16, bias=bias), torch.randn(*shape, 24)
    with torch.inference_mode():
        result, expected = LaidOutLinear(stock)(rows), stock(rows)
    assert result.dtype == torch.float32 and torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_rounded_fusion_is_near(masked: bool) -> None:
    torch.manual_seed(0)
    config = GroundingDinoConfig(d_model=24, encoder_ffn_dim=64, encoder_attention_heads=4)
    layer = GroundingDinoBiMultiHeadAttention(config).eval()
    vision, text = torch.randn(2, 37, 24), torch.randn(2, 5, 24)
    places, tokens = torch.zeros(2, 37, dtype=torch.bool), torch.zeros(2, 5, dtype=torch.bool)
    places[:, 30:] = tokens[:, 4:] = masked
    module = ReassociatedFusion(layer)
    with torch.inference_mode():
        expected = module(vision, text, places, tokens)
        module.halve()
        result = module(vision, text, places, tokens)
    for (rounded, _), (exact, _) in zip(result, expected, strict=True):
        assert rounded.dtype == torch.float32
        assert 0 < float((rounded - exact).std() / exact.std()) < 0.01


def test_parts_of_many_rows_are_put_together_in_order() -> None:
    torch.manual_seed(0)
    stock, rows = nn.Linear(8, 4), torch.randn(2, 1700, 8)
    with torch.inference_mode():
        whole = HalfLinear(stock)(rows)
        alone = torch.stack([HalfLinear(stock)(row[None])[0] for row in rows[1, ::400]])
    assert torch.allclose(whole[1, ::400], alone, atol=0.02)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_perceptron_is_near_the_one_in_float32(activation: Activation) -> None:
    torch.manual_seed(0)
    widen, narrow, rows = nn.Linear(12, 48), nn.Linear(48, 12), torch.randn(2, 1100, 12)
    with torch.inference_mode():
        expected = narrow(ACTIVATIONS[activation](widen(rows)))
        result = HalfPerceptron(widen, narrow, activation)(rows)
    assert result.dtype == torch.float32 and torch.allclose(result, expected, atol=0.03)


def test_layers_that_are_left_stay_what_they_are() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "c": nn.Linear(2, 2)})
    kept = model["c"]
    halve(model, leave=lambda name, module: name == "c")
    assert [type(part).__name__ for part in (model["a"], model["b"][0])] == ["HalfLinear"] * 2  # type: ignore[index]
    assert model["c"] is kept


def test_what_says_where_things_are_stays_in_float32(folder: Path) -> None:
    detector = GroundingDino(GroundingDino.Params(checkpoint=str(folder), precision="bfloat16"))
    detector.load("cpu")
    model = detector.network._model
    wide = {name.rpartition(".")[2] for name, part in model.named_modules() if type(part) is nn.Linear}
    towers = [*model.encoder.named_modules(), *model.decoder.named_modules(), *model.backbone.named_modules()]
    left = {name for name, part in towers if type(part) is nn.Linear}
    places = ("bbox_embed", "attn.vision_proj", "attn.text_proj")
    fusion = ("values_vision_proj", "values_text_proj", "out_vision_proj", "out_text_proj")
    assert left and all(any(part in name for part in (*places, *fusion)) for name in left)
    assert not {"drawing", "enc_output"} & wide
    kept = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, LaidOutLinear)}
    assert kept == {"drawing", "enc_output"}
    kinds = [type(part).__name__ for part in model.modules()]
    assert kinds.count("HalfPerceptron") >= 2 + 2 + 2
    assert next(model.text_backbone.parameters()).dtype == torch.float32
