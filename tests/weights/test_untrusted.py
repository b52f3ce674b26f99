"""What a checkpoint of unknown origin may cost, and what its files may steer: nothing but the network's sizes."""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autolabel.errors import WeightsError
from autolabel.weights import all_headers, bare, licence_of, load_state_dict, plain_configuration, read_json
from autolabel.weights.finite import refuse_not_finite

TENSOR = torch.arange(6.0).reshape(2, 3)


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("shape", [(1 << 20, 1 << 12), (1 << 30,)])
def test_a_view_that_stands_for_more_than_the_file_is_refused(shape: Any, zipped: bool, tmp_path: Path) -> None:
    view = torch.zeros(1).expand(shape)
    path = saved(tmp_path / "x.pth", {"big": view}, _use_new_zipfile_serialization=zipped)
    assert path.stat().st_size < 5000
    for read in (load_state_dict, lambda file: all_headers([file])):
        with pytest.raises(WeightsError, match=r"'big' .* has more numbers than the file holds"):
            read(path)


def test_many_views_of_one_tensor_are_refused(tmp_path: Path) -> None:
    numbers = torch.zeros(3_000_000)
    path = saved(tmp_path / "x.pth", {str(index): numbers[index:-100] for index in range(99)})
    with pytest.raises(WeightsError, match="views that stand for more numbers"):
        load_state_dict(path)


def test_names_of_one_tensor_share_its_memory(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"one": TENSOR, "other": TENSOR})
    state = load_state_dict(path)
    assert state["one"].data_ptr() == state["other"].data_ptr()


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"a": torch.zeros(100_000)})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(WeightsError, match="is compressed, which torch never does"):
        load_state_dict(tmp_path / "y.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_headers_tell_what_torch_reads(zipped: bool, tmp_path: Path) -> None:
    state = OrderedDict(a=TENSOR, b=torch.nn.Parameter(TENSOR.half()), c=TENSOR.T, d=torch.tensor(3), e=torch.zeros(0))
    content = {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}
    path = saved(tmp_path / "x.ckpt", content, _use_new_zipfile_serialization=zipped)
    headers = all_headers([path])
    assert headers is not None
    assert {name: header.shape for name, header in headers.items()} == {
        name: tuple(tensor.shape) for name, tensor in load_state_dict(path).items()
    }
    save_file({"a": TENSOR}, tmp_path / "x.safetensors")
    headers = all_headers([tmp_path / "x.safetensors"])
    assert headers is not None
    assert headers["a"].shape == (2, 3)


@pytest.mark.parametrize("keep", [4, 100, 0.5, 0.99])
@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_a_file_that_is_cut_short_is_told_by_its_header(name: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / name
    save_file({"a": torch.zeros(999)}, path) if path.suffix == ".safetensors" else saved(path, {"a": torch.zeros(999)})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else len(data) * keep)])
    with pytest.raises(WeightsError):
        if all_headers([path]) is None:
            load_state_dict(path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_ema": state},
        lambda state: {"ema": {"module": state}, "step": 3},
        lambda state: {"state_dict_ema": state},
        lambda state: {"model": {}, "net": state},
        lambda state: {"params": state, "rng": torch.zeros(3)},
    ],
)
def test_nests_of_the_field_are_read(wrap: Any, tmp_path: Path) -> None:
    assert list(load_state_dict(saved(tmp_path / "x.pth", wrap({"a": TENSOR})))) == ["a"]


def test_a_nest_of_nobody_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="its tensors lie under 'brain', which no known tool writes"):
        load_state_dict(saved(tmp_path / "x.pth", {"brain": {"a": TENSOR}, "epoch": 1}))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("_orig_mod.encoder.weight", "encoder.weight"),
        ("module._orig_mod.encoder.weight", "encoder.weight"),
        ("model._orig_mod.encoder.weight", "encoder.weight"),
        ("encoder._fsdp_wrapped_module.weight", "encoder.weight"),
        ("module.module.encoder.weight", "encoder.weight"),
        ("ema_model.module.encoder.weight", "encoder.weight"),
        ("encoder.module.weight", "encoder.module.weight"),
    ],
)
def test_prefixes_of_the_field_are_taken_off(key: str, name: str) -> None:
    assert list(bare({key: 1})) == [name]


def test_a_prefix_that_only_some_names_have_is_their_own() -> None:
    assert list(bare({"model.encoder": 1, "head": 2})) == ["model.encoder", "head"]
    assert list(bare({"model.level_embed": 1, "model.encoder": 2})) == ["model.level_embed", "model.encoder"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite_are_named(value: float, kind: torch.dtype) -> None:
    state = {"good": TENSOR.to(kind), "count": torch.tensor(3), "bad.weight": torch.tensor([1.0, value]).to(kind)}
    with pytest.raises(WeightsError, match=r"x\.pth: not finite: 1 of the 2 numbers of the tensor 'bad\.weight'"):
        refuse_not_finite(state, Path("x.pth"))
    large = torch.full((9,), torch.finfo(kind).max).to(kind)
    refuse_not_finite({"large": large}, Path("x.pth"))


def test_what_steers_is_left_out_at_every_depth() -> None:
    steering = {
        "auto_map": {"AutoModel": "evil.Model"},
        "_attn_implementation": "org/kernel",
        "trust_remote_code": True,
    }
    config = {**steering, "d_model": 8, "text_config": {"model_type": "bert", **steering, "inner": [{**steering}]}}
    assert plain_configuration(config, Path("x")) == {
        "d_model": 8,
        "text_config": {"model_type": "bert", "inner": [{}]},
    }
    assert plain_configuration({"use_pretrained_backbone": True}, Path("x")) == {"use_pretrained_backbone": False}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"quantization_config": {"bits": 4}}, "quantization_config: its weights are quantized"),
        ({"text_config": {"quantization_config": {}}}, "text_config.quantization_config"),
        ({"peft_type": "LORA"}, "it is an adapter"),
        ({"text_config": {"model_type": "evil", "auto_map": {}}}, "text_config.model_type 'evil'"),
        ({"backbone_config": {"model_type": "timm_backbone"}}, "backbone_config.model_type 'timm_backbone'"),
        ({"use_timm_backbone": True, "backbone": "resnet50"}, "use_timm_backbone"),
        ({"backbone": "microsoft/swin-tiny"}, "a name only"),
        ({"encoder_layers": 1_000_000}, "encoder_layers 1,000,000, and no model has more than 1,000"),
        ({"backbone_config": {"depths": [2, 999_999]}}, "backbone_config.depths 999,999"),
        ({"vision_config": {"image_size": 10**9}}, "vision_config.image_size"),
        ({"backbone_config": {"mlp_ratio": 1e9}}, "backbone_config.mlp_ratio"),
    ],
)
def test_what_cannot_be_left_out_is_refused_by_its_name(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(WeightsError) as error:
        plain_configuration(config, Path("folder"))
    assert reason in error.value.message


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 5000, "\xff", "version https://git-lfs.github.com/spec/v1"])
def test_json_of_any_kind_is_one_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"config\.json: (not JSON|a Git LFS pointer)"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize("text", ["---" + "\n" * 200_000, "---\n" + " \n" * 100_000, "---\nlicense:" + " " * 200_000])
def test_a_card_of_any_kind_is_read_in_one_go(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    assert licence_of(tmp_path).name == "unknown"


@pytest.mark.parametrize(
    ("front", "name"),
    [
        ("license:\n- mit\n- apache-2.0", "mit"),
        ("license: [apache-2.0]", "apache-2.0"),
        ("tags:\n- license\nlicense: 'mit' # as upstream", "mit"),
        ("license: other\nlicense_name: sam-licence", "sam-licence"),
    ],
)
def test_licences_in_the_forms_that_cards_have(front: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# Model\n")
    assert licence_of(tmp_path).name == name


def test_metadata_of_a_folders_weights_states_the_licence(tmp_path: Path) -> None:
    save_file({"a": TENSOR}, tmp_path / "model.safetensors", metadata={"license": "mit"})
    assert licence_of(tmp_path).name == "mit"
    assert json.dumps(licence_of(tmp_path / "model.safetensors").name) == '"mit"'


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [1 << 62, 4]}, "its header gives it 24"),
        ({"shape": [2, 4]}, "takes 32 bytes, its header gives it 24"),
        ({"shape": [0]}, "takes 0 bytes"),
        ({"dtype": "F64"}, "takes 48 bytes"),
        ({"dtype": "ODD"}, "of the type 'ODD', which is not read"),
        ({"data_offsets": [24, 0]}, "its header gives it -24"),
        ({"data_offsets": ["x", 24]}, "not a whole weight file"),
        ({"shape": "x"}, "not a whole weight file"),
    ],
)
def test_a_safetensors_header_must_agree_with_itself(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | change}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    with pytest.raises(WeightsError) as error:
        all_headers([file])
    assert reason in str(error.value)
