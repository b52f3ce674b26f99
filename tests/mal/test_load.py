"""What a checkpoint may be, and what is said of one that does not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autolabel.errors import WeightsError
from autolabel_mal.convert import split_tensors
from autolabel_mal.labeler import Mal
from autolabel_mal.load import load_networks
from autolabel_mal.network import MalNetwork

Save = Callable[..., Path]


def load(path: Path, **params: Any) -> list[MalNetwork]:
    return load_networks(path, Mal.Params(checkpoint=str(path), **params))


def lightning(network: MalNetwork, **extra: torch.Tensor) -> dict[str, Any]:
    """Return a checkpoint as TAO writes it: student, teacher, and the classifier that nobody uses."""
    state = {f"student.{key}": value for key, value in network.state_dict().items()}
    state |= {f"teacher.{key}": value + 1 for key, value in network.state_dict().items()}
    state["student.backbone.head.weight"] = torch.zeros(10, 64)
    return {"epoch": 3, "state_dict": state | extra, "tao_model": "mal"}


def same(network: MalNetwork, reference: MalNetwork, offset: float) -> bool:
    pairs = zip(network.mask_head.parameters(), reference.mask_head.parameters(), strict=True)
    return all(torch.equal(own, other + offset) for own, other in pairs)


def test_own_files_state_their_crop(checkpoint: Path, network: MalNetwork) -> None:
    (loaded,) = load(checkpoint)
    assert loaded.sizes.crop == 96
    assert loaded.sizes.nvlabs
    assert same(loaded, network, 0)


def test_the_spec_rules_over_the_files_crop(checkpoint: Path) -> None:
    assert load(checkpoint, crop_size=64)[0].sizes.crop == 64


def test_half_precision_files_become_float32(network: MalNetwork, save: Save) -> None:
    path = save({key: value.half() for key, value in network.state_dict().items()}, crop_size="96")
    assert {tensor.dtype for tensor in load(path)[0].state_dict().values()} == {torch.float32}


def test_student_teacher_and_both_of_a_lightning_file(network: MalNetwork, save: Save) -> None:
    path = save(lightning(network), "mal.pth")
    assert same(load(path)[0], network, 0)
    assert same(load(path, which="teacher")[0], network, 1)
    student, teacher = load(path, which="mixed")
    assert same(student, network, 0)
    assert same(teacher, network, 1)
    assert not student.sizes.nvlabs


def test_wrapped_names_and_other_tensors_do_no_harm() -> None:
    tensors = {"module.model.student.a": 1, "teacher.a": 2, "mean_field.kernel": 3}
    assert split_tensors(tensors) == {"student": {"a": 1}, "teacher": {"a": 2}}


def test_one_network_has_no_teacher(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no teacher, only one network\n  hint: set which: student"):
        load(checkpoint, which="mixed")


def test_missing_and_extra_keys_are_named(network: MalNetwork, save: Save) -> None:
    state = network.state_dict()
    del state["backbone.blocks.0.norm2.bias"]
    state["backbone.fc_norm.weight"] = torch.ones(64)
    state["roi_head.mlp1.weight"] = torch.zeros(8, 32)
    with pytest.raises(WeightsError) as caught:
        load(save(state))
    message = str(caught.value)
    assert "missing: backbone.blocks.0.norm2.bias" in message
    assert "too many: backbone.fc_norm.weight" in message
    assert "of another shape: roi_head.mlp1.weight" in message
    assert "look like a transformer of 2 blocks, 64 channels, 16 px patches" in message


def test_the_architecture_that_would_fit_is_named(save: Save) -> None:
    from autolabel_mal.sizes import from_arch

    with torch.device("meta"):
        keys = MalNetwork(from_arch("vit-deit-tiny/16")).state_dict()
    state = {key: torch.zeros(tensor.shape) for key, tensor in keys.items() if key != "backbone.norm.bias"}
    with pytest.raises(WeightsError, match=r"missing: backbone\.norm\.bias\n  hint: .* vit-deit-tiny/16"):
        load(save(state), arch="vit-mae-base/16")


def test_another_models_file_is_refused(save: Save) -> None:
    with pytest.raises(WeightsError, match=r"holds no MAL network: mask_head\.convs\.0\.conv\.weight is missing"):
        load(save({"conv1.weight": torch.zeros(4, 256)}))
    with pytest.raises(WeightsError, match=r"a detector, .*\n  hint: use the labeler grounding_dino"):
        load(save({"transformer.level_embed": torch.zeros(4, 256)}))


def test_fan_backbones_are_refused_with_what_is_supported(network: MalNetwork, save: Save) -> None:
    state = network.state_dict() | {"backbone.pos_embed.token_projection.weight": torch.zeros(3)}
    with pytest.raises(WeightsError, match=r"FAN backbone.*\n  hint: supported: vit-deit-tiny/16, "):
        load(save(state))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


def test_a_pickle_that_runs_code_is_refused(
    network: MalNetwork, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="could run code"):
        load(save(lightning(network) | {"hyper_parameters": Evil()}, "evil.ckpt"))
    assert not (tmp_path / "evil-was-here").exists()


def test_what_the_spec_says_and_the_file_does_not_is_logged(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load(checkpoint, arch="vit-mae-base/16", mask_head_out_channel=256, mask_head_num_convs=4)
    assert [record.getMessage().replace(str(checkpoint), "FILE") for record in caplog.records] == [
        "FILE has mask_head_out_channel: 8, not 256 as the spec says; the file counts",
        "FILE is a transformer of 2 blocks, 64 channels, 16 px patches, not vit-mae-base/16 as the spec says;"
        " the file counts",
    ]


def test_a_spec_that_says_nothing_earns_no_warning(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(checkpoint)
    assert not caplog.records


@pytest.mark.parametrize("crop", ["0", "big", "-3"])
def test_a_crop_that_is_no_size_is_refused(crop: str, network: MalNetwork, save: Save) -> None:
    with pytest.raises(WeightsError, match="crop_size must be a positive integer"):
        load(save(network.state_dict(), crop_size=crop))
