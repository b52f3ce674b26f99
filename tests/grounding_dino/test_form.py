"""The forms of checkpoint: Hugging Face folder, IDEA-Research file, TAO file, safetensors."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

from autolabel.errors import WeightsError
from autolabel.types import Instances
from autolabel_grounding_dino.configure import configure
from autolabel_grounding_dino.convert import to_transformers, unwrapped
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_grounding_dino.params import GroundingDinoParams
from benchmarks.small_detector import MODEL
from tests.grounding_dino.checkpoints import SHARED, detect, load, original_names, random_folder
from tests.labelers.tiny_models import photo

PHRASES = ("cat", "traffic light", "man")
HEADS = {"nheads": 4}


def same(one: Instances, other: Instances) -> bool:
    return (
        len(one) == len(other) > 0
        and bool(np.array_equal(one.labels, other.labels))
        and bool(np.allclose(one.scores, other.scores, atol=1e-6))
        and bool(np.allclose(one.boxes, other.boxes, atol=1e-3))
    )


def as_tao(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    inner = {key.replace("backbone.0.", "backbone.0.body.", 1): value for key, value in state.items()}
    renamed = {f"model.model.{key}": value for key, value in inner.items()}
    renamed["model.model.label_enc.weight"] = torch.zeros(3, 64)
    return {"state_dict": renamed, "tao_model": "grounding_dino", "epoch": 3}


@pytest.fixture(scope="module")
def expected(detector: GroundingDino) -> Instances:
    return detect(detector, photo(64, 80, *PHRASES))[0]


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda state: {"model": state}, "idea.pth"),
        (lambda state: {"model": {f"module.{key}": value for key, value in state.items()}}, "parallel.pth"),
        (lambda state: state, "bare.pt"),
        (as_tao, "tao.pth"),
        (lambda state: {key: value.contiguous().clone() for key, value in state.items()}, "plain.safetensors"),
    ],
)
def test_an_original_file_detects_what_its_hugging_face_folder_detects(
    wrap: Any, name: str, write_original: Callable[..., Path], text_folder: Path, expected: Instances
) -> None:
    path = write_original(wrap, name)
    detector = load(path, text_encoder=str(text_folder), model=HEADS, short_side=64, long_side=100)
    assert same(detect(detector, photo(64, 80, *PHRASES))[0], expected)


def test_a_resnet_file_detects_what_its_hugging_face_folder_detects(tmp_path: Path, text_folder: Path) -> None:
    resnet = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 2, 1, 1]}
    model = {**MODEL, "backbone_config": {**resnet, "out_features": ["stage2", "stage3", "stage4"]}}
    folder = random_folder(tmp_path / "resnet", model)
    torch.save({"model": original_names(load_file(folder / "model.safetensors"))}, tmp_path / "resnet.pth")
    original = load(tmp_path / "resnet.pth", text_encoder=str(text_folder), model=HEADS, short_side=64, long_side=100)
    sample = photo(64, 80, *PHRASES)
    assert same(detect(original, sample)[0], detect(load(folder), sample)[0])


def test_half_precision_and_shards_load_as_float32(folder: Path, tmp_path: Path, expected: Instances) -> None:
    shutil.copytree(folder, tmp_path / "half")
    state = load_file(tmp_path / "half" / "model.safetensors")
    (tmp_path / "half" / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: state[key].half() for key in keys}, tmp_path / "half" / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (tmp_path / "half" / "model.safetensors.index.json").write_text(json.dumps(index))
    found = detect(load(tmp_path / "half"), photo(64, 80, *PHRASES))[0]
    assert len(found) == len(expected)
    differ = np.abs(np.sort(found.scores) - np.sort(expected.scores))
    assert np.quantile(differ, 0.9) < 0.02, "at most a query or two are chosen otherwise"


@pytest.mark.parametrize(("scale", "bias"), [(0.7, -1.5), (-0.4, None), (None, 2.0)])
def test_a_learned_scale_and_bias_of_the_similarity_act(
    scale: float | None, bias: float | None, write_original: Callable[..., Path], text_folder: Path
) -> None:
    def wrap(state: dict[str, torch.Tensor]) -> dict[str, Any]:
        for head in (
            "class_embed.0",
            "class_embed.1",
            "transformer.decoder.class_embed.1",
            "transformer.enc_out_class_embed",
        ):
            state |= {f"{head}.log_scale": torch.tensor([scale])} if scale is not None else {}
            state |= {f"{head}.bias": torch.tensor([bias])} if bias is not None else {}
        return {"model": state}

    how: dict[str, Any] = {"text_encoder": str(text_folder), "model": HEADS, "short_side": 64}
    plain, scaled = load(write_original(lambda state: state), **how), load(write_original(wrap), **how)
    item = plain.prepare([plain.preprocess(photo(64, 64, "cat"))])[0]
    ids = plain.captions(photo(8, 8, "cat").prompt)[0].ids
    with torch.inference_mode():
        one, other = plain.network.ask(item.features, [ids]), scaled.network.ask(item.features, [ids])
    wanted = one.logits * np.exp(scale or 0.0) + (bias or 0.0)
    assert torch.allclose(other.logits, wanted, atol=1e-4)


def test_log_scale_auto_divides_by_the_square_root_of_the_width(
    write_original: Callable[..., Path], text_folder: Path
) -> None:
    path = write_original(lambda state: state)
    auto = load(path, text_encoder=str(text_folder), model={**HEADS, "log_scale": "auto"})
    assert auto.network._deciding.scale == pytest.approx(64**-0.5)


def test_what_does_not_fit_is_named(write_original: Callable[..., Path], text_folder: Path) -> None:
    def wrap(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        del state["feat_map.bias"], state["transformer.decoder.norm.weight"]
        return {**state, "surplus.weight": torch.zeros(1), "transformer.enc_output.bias": torch.zeros(7)}

    with pytest.raises(WeightsError) as error:
        load(write_original(wrap), text_encoder=str(text_folder), model=HEADS)
    text = str(error.value)
    assert "2 missing: model.decoder.layer_norm.weight, model.text_projection.bias" in text
    assert "1 unknown: surplus.weight" in text
    assert "1 of another shape: model.enc_output.bias (7,) for (64,)" in text


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ("transformer.tgt_embed.weight", "no tensor 'transformer.tgt_embed"),
        ("transformer.level_embed", "config.json"),
    ],
)
def test_a_file_that_is_no_grounding_dino_is_refused(
    lost: str, reason: str, write_original: Callable[..., Path], text_folder: Path
) -> None:
    path = write_original(lambda state: {key: value for key, value in state.items() if key != lost})
    with pytest.raises(WeightsError, match=reason):
        load(path, text_encoder=str(text_folder), model=HEADS)


def test_another_architecture_and_remote_code_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    remote = {**config, "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "other" / "evil.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    (tmp_path / "other" / "config.json").write_text(json.dumps(remote))
    load(tmp_path / "other")
    assert not (tmp_path / "marker").exists()
    (tmp_path / "other" / "config.json").write_text(json.dumps({**config, "model_type": "owlvit"}))
    with pytest.raises(WeightsError, match="'owlvit'; wanted a two-stage 'grounding-dino'"):
        load(tmp_path / "other")


def test_sizes_that_differ_from_the_file_are_warned_of(
    write_original: Callable[..., Path], text_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_original(lambda state: state)
    sizes = {**HEADS, "enc_layers": 6, "dec_layers": 2}
    caplog.set_level(logging.WARNING, "autolabel_grounding_dino")
    load(path, text_encoder=str(text_folder), backbone="swin_large_384_22k", model=sizes)
    messages = [record.getMessage() for record in caplog.records]
    assert "enc_layers is 6 in the spec and 2 in the checkpoint, which counts" in messages
    assert any(message.startswith("backbone is swin_large_384_22k in the spec and") for message in messages)
    assert not any("dec_layers" in message for message in messages)


def test_heads_that_do_not_divide_the_points_are_refused(
    write_original: Callable[..., Path], text_folder: Path
) -> None:
    path = write_original(lambda state: state)
    with pytest.raises(WeightsError, match="8 sampling points over all heads, which 3 heads do not make"):
        load(path, text_encoder=str(text_folder), model={"nheads": 3})


def test_a_narrow_text_encoder_without_configuration_is_refused(write_original: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match="the text encoder is 16 wide, and its number of heads is unknown"):
        load(write_original(lambda state: state), model=HEADS)


def test_a_text_encoder_beside_the_file_is_found(
    write_original: Callable[..., Path], text_folder: Path, expected: Instances
) -> None:
    path = write_original(lambda state: state)
    text_folder.rename(path.parent / "text_encoder")
    detector = load(path, model=HEADS, short_side=64, long_side=100, text_encoder="bert-base-uncased")
    assert same(detect(detector, photo(64, 80, *PHRASES))[0], expected)
    names = {file.name for file in detector.files()}
    assert names == {"original.pth", "vocab.txt", "config.json"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the reference outputs")
def test_every_tensor_of_the_full_model_has_its_place() -> None:
    shapes = json.loads((SHARED / "gdino/idea_keys_full_swint.json").read_text())
    state = {f"module.{key}": torch.zeros(1).expand(shape) for key, shape in shapes.items()}
    original = unwrapped(state)
    fields = configure(original, GroundingDinoParams(checkpoint="x.pth"), {})
    assert fields["backbone_config"]["num_heads"] == [3, 6, 12, 24]
    assert fields["backbone_config"]["window_size"] == 7
    assert fields["text_config"]["num_attention_heads"] == 12
    assert (fields["num_queries"], fields["encoder_layers"], fields["encoder_n_points"]) == (900, 6, 4)
    with torch.device("meta"):
        network = GroundingDinoForObjectDetection(GroundingDinoConfig.from_dict(fields))
    wanted = sum(p.numel() for name, p in network.named_parameters() if "swin.layernorm" not in name)
    renamed = to_transformers(original)
    repeated = re.compile(r"model\.decoder\.bbox_embed|bbox_embed\.[1-9]")
    assert sum(value.numel() for key, value in renamed.items() if not repeated.match(key)) == wanted
    assert [key for key in renamed if not key.startswith(("model.", "bbox_embed."))] == []
