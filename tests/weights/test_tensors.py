"""Tensors are read without running what a file holds."""

from __future__ import annotations

import io
import os
import pickle
import sys
import types
import typing
import zipfile
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autolabel.errors import WeightsError
from autolabel.weights import load_state_dict

TENSOR = torch.arange(6.0).reshape(2, 3)


class Evil:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_numpy(content: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([content], dtype=object), allow_pickle=True)


def save_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def save_joblib(content: Any, path: Path) -> None:
    joblib.dump(content, path)


def test_the_evil_object_does_run_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("save", [torch.save, save_legacy, save_numpy, save_pickle, save_joblib])
@pytest.mark.parametrize("name", ["evil.pth", "evil.bin", "evil.pt", "evil.ckpt", "evil.npy", "evil.joblib"])
def test_a_file_that_runs_code_is_refused(save: Callable[[Any, Any], None], name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    save({"state_dict": {"weight": TENSOR}, "extra": Evil(marker)}, tmp_path / name)
    with pytest.raises(WeightsError, match=name):
        load_state_dict(tmp_path / name)
    assert not marker.exists()


def test_the_reason_names_what_was_found(tmp_path: Path) -> None:
    torch.save({"x": Evil(tmp_path / "marker")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth: refused: .*could run code \(.*system") as error:
        load_state_dict(tmp_path / "evil.pth")
    assert "weights_only=False" not in str(error.value)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state},
        lambda state: {"state_dict": state, "epoch": 3, "tao_model": "mal", "optimizer_states": [{"lr": 0.1}]},
        lambda state: {"module": state},
    ],
)
@pytest.mark.parametrize("save", [torch.save, save_legacy])
def test_tensors_are_taken_out_of_their_nest(wrap: Any, save: Callable[[Any, Any], None], tmp_path: Path) -> None:
    save(wrap({"a.weight": TENSOR, "count": 3}), tmp_path / "x.pth")
    state = load_state_dict(tmp_path / "x.pth")
    assert list(state) == ["a.weight"]
    assert torch.equal(state["a.weight"], TENSOR)


def test_safetensors_and_folders_are_read(tmp_path: Path) -> None:
    save_file({"a": TENSOR, "b": TENSOR.half()}, tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        state = load_state_dict(path)
        assert torch.equal(state["a"], TENSOR)
        assert state["b"].dtype is torch.float16


def test_a_file_replaced_later_does_not_change_what_was_read(tmp_path: Path) -> None:
    for name, save in (("a.pth", torch.save), ("b.safetensors", save_file)):
        save({"a": TENSOR}, tmp_path / name)
        state = load_state_dict(tmp_path / name)
        (tmp_path / name).write_bytes(b"\xff" * (tmp_path / name).stat().st_size)
        assert torch.equal(state["a"], TENSOR)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], type]:
    """Return a function that makes a class of a package that is importable while a file is written only."""

    def make(path: str) -> type:
        module, name = path.rsplit(".", 1)
        kind = type(name, (), {"__module__": module, "__init__": lambda self: self.__dict__.update(a=1)})
        stand = types.ModuleType(module)
        setattr(stand, name, kind)
        monkeypatch.setitem(sys.modules, module, stand)
        return kind

    return make


def test_settings_of_training_tools_are_passed_over(
    foreign: Callable[[str], type], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = [foreign(f"{tool}.Config")() for tool in ("omegaconf", "pytorch_lightning", "nvidia_tao_pytorch")]
    defaults: defaultdict[str, Any] = defaultdict(dict, {"x": {"y": settings[0]}})
    extra = {"hyper_parameters": settings, "cache": defaults, "kind": typing.Any, "arguments": Namespace(path=list)}
    torch.save({"state_dict": {"a": TENSOR}, **extra}, tmp_path / "tao.pth")
    monkeypatch.undo()
    assert "omegaconf" not in sys.modules
    before = set(torch.serialization.get_safe_globals())
    assert torch.equal(load_state_dict(tmp_path / "tao.pth")["a"], TENSOR)
    assert set(torch.serialization.get_safe_globals()) == before


def test_settings_do_not_open_the_door_to_others(foreign: Callable[[str], type], tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = {"state_dict": {"a": TENSOR}, "config": foreign("omegaconf.Config")(), "evil": Evil(marker)}
    torch.save(content, tmp_path / "tao.pth")
    with pytest.raises(WeightsError, match="refused"):
        load_state_dict(tmp_path / "tao.pth")
    torch.save({"state_dict": {"a": TENSOR}, "config": foreign("omegaconfig.Config")()}, tmp_path / "near.pth")
    with pytest.raises(WeightsError, match="refused"):
        load_state_dict(tmp_path / "near.pth")
    assert not marker.exists()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return stream.getvalue()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"  \n <!DOCTYPE html><html></html>", "a web page, not weights"),
        (b"<html>Sign in</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"\x00" * 40, "not a whole|refused"),
        (zipped(), "not a whole"),
    ],
)
def test_what_is_no_weights_is_said(content: bytes, reason: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        load_state_dict(tmp_path / name)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("save", [torch.save, save_legacy, save_file])
def test_a_truncated_file_is_refused(part: float, save: Any, tmp_path: Path) -> None:
    path = tmp_path / ("x.safetensors" if save is save_file else "x.pth")
    save({"a": torch.randn(50, 50)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(WeightsError, match=path.name):
        load_state_dict(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state_dict_encrypted": True, "state_dict": b"..."}, "encrypted by TAO"),
        ({"epoch": 3, "name": "x"}, "holds no tensors; its keys are epoch, name"),
        ([TENSOR], "holds a list, not tensors by name"),
    ],
)
def test_a_file_without_tensors_is_refused(content: object, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=reason):
        load_state_dict(tmp_path / "x.pth")


def test_a_missing_file_and_an_unknown_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth: cannot be read: No such file"):
        load_state_dict(tmp_path / "gone.pth")
    (tmp_path / "x.onnx").write_bytes(b"12345")
    with pytest.raises(WeightsError, match=r"x\.onnx: \.onnx is not read"):
        load_state_dict(tmp_path / "x.onnx")
