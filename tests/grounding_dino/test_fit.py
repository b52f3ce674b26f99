"""Whether a checkpoint fits is told by its headers, and what transformers would read is what is read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autolabel.errors import WeightsError
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.pixels import Shaping, read_shaping
from tests.grounding_dino.checkpoints import load


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A copy of the random folder that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    """Change a folder's config.json; ``text`` changes what is inside its text_config."""
    content = json.loads((folder / "config.json").read_text())
    content["text_config"] |= changes.pop("text", {})
    (folder / "config.json").write_text(json.dumps(content | changes))


def check(path: Path, **params: Any) -> None:
    GroundingDino(GroundingDino.Params(checkpoint=str(path), **params)).check()


def test_a_checkpoint_that_fits_passes_without_torch(folder: Path) -> None:
    script = (
        "import sys; from autolabel_grounding_dino.labeler import GroundingDino as G;"
        f"G(G.Params(checkpoint={str(folder)!r})).check(); assert not {{'torch', 'transformers'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder_layers": 3}, "config.json says encoder_layers 3, the file holds 2"),
        ({"decoder_layers": 6}, "config.json says decoder_layers 6, the file holds 2"),
        ({"num_queries": 900}, "config.json says num_queries 900, the tensor model.query_position_embeddings.weight"),
        ({"d_model": 256}, "config.json says d_model 256"),
        ({"text": {"vocab_size": 99}}, "config.json says text_config.vocab_size 99"),
        ({"text": {"num_hidden_layers": 12}}, "config.json says text_config.num_hidden_layers 12, the file holds 2"),
        ({"d_model": "x"}, "config.json says d_model 'x'; wanted a whole number"),
        ({"encoder_layers": [1]}, "config.json says encoder_layers '[1]'; wanted a whole number"),
        ({"decoder_layers": True}, "config.json says decoder_layers 'True'; wanted a whole number"),
        ({"encoder_attention_heads": "4"}, "config.json says encoder_attention_heads '4'; wanted a whole number"),
        ({"text": {"hidden_size": 32.5}}, "config.json says text_config.hidden_size '32.5'; wanted a whole number"),
        ({"encoder_layers": 1_000_000}, "no model has more than 1,000"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config: its weights are quantized"),
        ({"use_timm_backbone": True, "backbone": "swin", "backbone_config": None}, "use_timm_backbone"),
        ({"text": {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}}, "text_config.model_type 'evil'"),
        ({"model_type": "owlv2"}, "use the labeler owlv2"),
        ({"model_type": "mal"}, "which makes masks of boxes: use the labeler mal"),
    ],
)
def test_what_does_not_fit_is_told_by_headers(changes: dict[str, Any], reason: str, copied: Path) -> None:
    configure(copied, **changes)
    with pytest.raises(WeightsError) as error:
        check(copied)
    assert reason in str(error.value)


def test_a_layer_that_lacks_a_tensor_is_told_by_headers(copied: Path) -> None:
    state = load_file(copied / "model.safetensors")
    del state["model.encoder.layers.1.deformable_layer.fc1.bias"]
    save_file(state, copied / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing: model\.encoder\.layers\.1\.deformable_layer\.fc1\.bias"):
        check(copied)


def test_an_original_file_is_checked_too(write_original: Callable[..., Path], text_folder: Path) -> None:
    how: dict[str, Any] = {"text_encoder": str(text_folder), "model": {"nheads": 4}}
    check(write_original(lambda state: {"model": state}), **how)
    kept = {"transformer.level_embed", "feat_map.weight"}
    with pytest.raises(WeightsError, match="it is not a two-stage Grounding DINO"):
        check(write_original(lambda state: {key: state[key] for key in kept}), **how)
    with pytest.raises(WeightsError, match="lacks layer 0 of its encoder"):
        check(write_original(lambda state: {k: v for k, v in state.items() if "encoder.layers.0." not in k}), **how)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model.", "module._orig_mod."])
def test_a_folder_of_a_wrapped_network_is_read(prefix: str, copied: Path) -> None:
    state = load_file(copied / "model.safetensors")
    save_file({prefix + key: tensor for key, tensor in state.items()}, copied / "model.safetensors")
    check(copied)
    load(copied)


@pytest.mark.parametrize(
    "wrap", [lambda s: {"model_ema": s}, lambda s: {"state_dict": {f"_orig_mod.{k}": s[k] for k in s}}]
)
def test_an_original_file_in_any_nest_is_read(
    wrap: Any, write_original: Callable[..., Path], text_folder: Path
) -> None:
    load(write_original(wrap), text_encoder=str(text_folder), model={"nheads": 4})


def test_weights_that_are_not_finite_are_refused_by_their_name(
    copied: Path, write_original: Callable[..., Path], text_folder: Path
) -> None:
    state = load_file(copied / "model.safetensors")
    state["model.enc_output.weight"][0, 0] = float("nan")
    save_file(state, copied / "model.safetensors")
    with pytest.raises(WeightsError, match=r"not finite: 1 of .* tensor 'model\.enc_output\.weight'"):
        load(copied)

    def spoil(original: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**original, "feat_map.bias": torch.full((64,), float("inf"))}

    with pytest.raises(WeightsError, match=r"not finite: 64 of the 64 numbers of the tensor 'feat_map\.bias'"):
        load(write_original(spoil), text_encoder=str(text_folder), model={"nheads": 4})


def test_nothing_in_a_configuration_reaches_the_network(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **_: asked.append(args) or [])
    remote = {"AutoConfig": "acme/evil--config.C", "AutoModel": "acme/evil--model.M"}
    configure(copied, auto_map=remote, _name_or_path="acme/evil", text={"auto_map": remote, "_name_or_path": "acme/x"})
    load(copied)
    assert asked == []
    configure(copied, backbone="acme/swin", backbone_config=None)
    with pytest.raises(WeightsError, match="describes its backbone by a name only"):
        load(copied)
    assert asked == []


@pytest.mark.parametrize("lost", ["processor_config.json", "vocab.txt"])
def test_a_file_that_is_missing_is_never_guessed(lost: str, copied: Path) -> None:
    (copied / lost).unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json|no tokenizer in this folder"):
        check(copied)


def test_a_tokenizer_that_panics_is_one_error(copied: Path) -> None:
    (copied / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {"a": 99999999999999999999}}}')
    with pytest.raises(WeightsError, match=r"tokenizer\.json: not a tokenizer"):
        check(copied)


def processor(folder: Path, name: str, **content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


def test_a_processor_without_image_settings_gives_way(tmp_path: Path) -> None:
    processor(tmp_path, "processor_config.json", processor_class="GroundingDinoProcessor")
    processor(tmp_path, "preprocessor_config.json", size={"shortest_edge": 64, "longest_edge": 100})
    assert read_shaping(tmp_path) == Shaping(short_side=64, long_side=100)


def test_image_settings_of_a_processor_come_first(tmp_path: Path) -> None:
    processor(tmp_path, "processor_config.json", image_processor={"size": {"shortest_edge": 32, "longest_edge": 50}})
    processor(tmp_path, "preprocessor_config.json", size={"shortest_edge": 64, "longest_edge": 100})
    assert read_shaping(tmp_path) == Shaping(short_side=32, long_side=50)


@pytest.mark.parametrize(
    ("content", "square", "expected"),
    [
        ({"size": 64, "max_size": 100}, False, Shaping(short_side=64, long_side=100)),
        ({"size": 64}, False, Shaping(short_side=64, long_side=1333)),
        ({"size": 64}, True, Shaping(exact=(64, 64))),
        ({"size": [48, 64]}, False, Shaping(exact=(48, 64))),
        (
            {"size": {"shortest_edge": 64, "longest_edge": 100}, "max_size": 7},
            False,
            Shaping(short_side=64, long_side=100),
        ),
        ({"size": None, "max_size": 100}, False, Shaping()),
    ],
)
def test_older_forms_of_a_size_mean_what_they_mean_to_transformers(
    content: dict[str, Any], square: bool, expected: Shaping, tmp_path: Path
) -> None:
    processor(tmp_path, "preprocessor_config.json", **content)
    assert read_shaping(tmp_path, square=square) == expected


def test_transformers_reads_the_older_form_likewise(tmp_path: Path) -> None:
    from transformers import GroundingDinoImageProcessorPil

    processor(tmp_path, "preprocessor_config.json", size=64, max_size=100)
    theirs = GroundingDinoImageProcessorPil.from_pretrained(tmp_path).size
    ours = read_shaping(tmp_path)
    assert (theirs["shortest_edge"], theirs["longest_edge"]) == (ours.short_side, ours.long_side)


@pytest.mark.parametrize(
    "content",
    [
        {"size": {"max_height": 3, "max_width": 4}},
        {"size": {"shortest_edge": -1}},
        {"size": {"height": 1e9, "width": 3}},
        {"size": 64, "do_resize": False},
        {"size": 64, "resample": 3},
        {"image_std": [0, 1, 1]},
        {"image_mean": [float("nan")] * 3},
    ],
)
def test_a_size_that_cannot_be_kept_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    processor(tmp_path, "preprocessor_config.json", **content)
    with pytest.raises(WeightsError, match="not an image processor's configuration"):
        read_shaping(tmp_path)
