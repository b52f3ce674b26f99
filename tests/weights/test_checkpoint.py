"""What a spec may call a checkpoint, and where it is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from autolabel.errors import WeightsError
from autolabel.paths import CommandLineText
from autolabel.weights import CheckpointPath, locate_checkpoint, shipped


class Spec(BaseModel):
    checkpoint: CheckpointPath


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of checkpoints by name, holding ``pocket``."""
    shelf = tmp_path / "shelf"
    write_folder(shelf / "pocket")
    monkeypatch.setenv("AUTOLABEL_CHECKPOINTS", str(shelf))
    return shelf


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def resolved(name: str, root: Path) -> str:
    return Spec.model_validate({"checkpoint": name}, context={"root": root}).checkpoint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pocket", "pocket"),
        ("./pocket", "{root}/pocket"),
        ("swin.pth", "{root}/swin.pth"),
        ("deep/swin.SAFETENSORS", "{root}/deep/swin.SAFETENSORS"),
        ("../up", "{root.parent}/up"),
        ("/abs/file.ckpt", "/abs/file.ckpt"),
        ("there", "{root}/there"),
        ("org/there", "{root}/org/there"),
        ("org/name", "org/name"),
        ("org/name@v1.0", "org/name@v1.0"),
        ("unknown", "unknown"),
    ],
)
def test_a_name_is_shipped_then_a_path_then_a_hub_name(name: str, expected: str, shelf: Path, tmp_path: Path) -> None:
    root = tmp_path / "specs"
    (root / "there").mkdir(parents=True)
    (root / "org" / "there").mkdir(parents=True)
    assert resolved(name, root) == expected.format(root=root)


def test_an_override_is_relative_to_the_working_directory(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    assert resolved(CommandLineText("./x.pth"), tmp_path) == str(shelf / "x.pth")


def test_the_home_folder_is_expanded(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolved("~/x.pth", Path("/elsewhere")) == str(tmp_path / "x.pth")


def test_an_empty_name_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        resolved("", tmp_path)


def test_shipped_names_are_found_in_the_folders_of_the_variable(shelf: Path) -> None:
    assert shipped()["pocket"] == shelf / "pocket"
    assert locate_checkpoint("pocket") == shelf / "pocket"


def test_a_path_is_located(tmp_path: Path) -> None:
    file = tmp_path / "swin.pth"
    file.write_bytes(b"x")
    assert locate_checkpoint(str(file)) == file
    assert locate_checkpoint(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("poket", "no checkpoint is called 'poket'\n  hint: did you mean 'pocket'? shipped: pocket"),
        ("a/b/c", "no checkpoint is called 'a/b/c'"),
        ("{tmp}/swim.pth", "{tmp}/swim.pth: no such file or folder\n  hint: did you mean {tmp}/swin.pth?"),
        (
            "{tmp}/gone/swin.pth",
            "{tmp}/gone/swin.pth: no such file\n  hint: the folder {tmp}/gone does not exist either",
        ),
    ],
)
def test_what_is_missing_is_said_with_the_nearest_name(name: str, text: str, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "swin.pth").write_bytes(b"x")
    with pytest.raises(WeightsError) as error:
        locate_checkpoint(name.format(tmp=tmp_path))
    assert str(error.value).startswith(text.format(tmp=tmp_path))


def write_cache(cache: Path, *, commit: str = "a" * 40, weights: bool = True) -> Path:
    """Write a hub cache that holds ``org/name`` at one commit, called main and v1."""
    repository = cache / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    for reference in ("main", "v1"):
        (repository / "refs" / reference).write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for described in ("config.json", "preprocessor_config.json"):
        (snapshot / described).write_text(json.dumps({}))
    if weights:
        (snapshot / "model.safetensors").write_bytes(b"weights")
    return snapshot


@pytest.mark.parametrize("name", ["org/name", "org/name@v1", "org/name@" + "a" * 40])
def test_a_hub_name_is_found_in_the_local_cache(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = write_cache(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert locate_checkpoint(name) == snapshot


@pytest.mark.parametrize("name", ["org/other", "org/name@v2"])
def test_a_hub_name_that_is_not_cached_fails_offline(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cache(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        WeightsError, match=f"'{name}' is neither in the local Hugging Face cache nor can it be fetched"
    ):
        locate_checkpoint(name)
