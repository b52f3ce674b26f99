"""What a spec may call a checkpoint: a shipped name, a path, or a name on the Hugging Face hub."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints, ValidationInfo

from autolabel.errors import WeightsError
from autolabel.paths import locate as absolute
from autolabel.paths import spec_root
from autolabel.weights.content import files_of

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")
HUB_NAME = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
HUB_FILES = ("*.safetensors", "*.json", "*.txt")
FOLDERS_VARIABLE = "AUTOLABEL_CHECKPOINTS"


def shipped() -> dict[str, Path]:
    """Return the checkpoints that come with the package, or stand in a folder of ``AUTOLABEL_CHECKPOINTS``, by name."""
    found: dict[str, Path] = {}
    for folder in _shelves():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if (path / "config.json").is_file():
                    found.setdefault(path.name, path)
    return found


def _shelves() -> list[Path]:
    """Return where shipped checkpoints are looked for: the variable, the package, a clone's root."""
    package = Path(__file__).resolve().parents[1]
    folders = [Path(folder) for folder in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if folder]
    folders.append(package / "checkpoints")
    if package.parent.name == "src":
        folders.append(package.parents[1] / "checkpoints")
    return folders


def resolve(value: object, info: ValidationInfo) -> object:
    """Make a path absolute against the spec's folder; keep shipped and hub names, and anything that is no string."""
    if not isinstance(value, str) or not value or value in shipped():
        return value
    if looks_like_path(value) or spec_root(value, info).joinpath(value).exists():
        return absolute(value, info)
    return str(value)


def looks_like_path(value: str) -> bool:
    """Return whether a name can only be meant as a path: by how it begins, or by a suffix of weight files."""
    return value.startswith(("./", "../", "/", "~", ".\\", "..\\")) or value.lower().endswith(SUFFIXES)


CheckpointPath = Annotated[str, StringConstraints(min_length=1), BeforeValidator(resolve)]
"""A checkpoint in a strategy's ``Params``: ``tiny``, ``./file.pth``, ``folder``, ``org/name`` or ``org/name@revision``.

A shipped name comes first, then a path relative to the spec that exists or looks like one, then the hub.
"""


def locate(checkpoint: str) -> Path:
    """Return the file or folder of a validated checkpoint name.

    Hub names come from huggingface_hub's cache, else from the hub unless ``HF_HUB_OFFLINE`` is set; only safetensors,
    JSON and text files are fetched. Raises WeightsError, with the nearest name as its hint, where nothing is found.
    """
    ours = shipped()
    if checkpoint in ours:
        return ours[checkpoint]
    path = Path(checkpoint)
    if path.is_absolute() or looks_like_path(checkpoint) or path.exists():
        return _existing(path)
    match = HUB_NAME.fullmatch(checkpoint)
    if match is None or match["name"].count("/") != 1:
        raise WeightsError(f"no checkpoint is called {checkpoint!r}", hint=_nearest(checkpoint, list(ours)))
    return _snapshot(match["name"], match["revision"])


def on_hub(checkpoint: str) -> bool:
    """Return whether a validated checkpoint name is one of the hub: neither shipped nor a path."""
    if not checkpoint or checkpoint in shipped() or looks_like_path(checkpoint) or Path(checkpoint).exists():
        return False
    match = HUB_NAME.fullmatch(checkpoint)
    return match is not None and match["name"].count("/") == 1


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise WeightsError(f"{path}: no such file", hint=f"the folder {folder} does not exist either")
    near = difflib.get_close_matches(path.name, [entry.name for entry in folder.iterdir()], n=1)
    raise WeightsError(f"{path}: no such file or folder", hint=f"did you mean {folder / near[0]}?" if near else "")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    start = f"did you mean {near[0]!r}? " if near else ""
    return f"{start}shipped: {', '.join(known) or 'none'}; a path begins with ./ or ends in .pth or .safetensors"


def _snapshot(name: str, revision: str | None) -> Path:
    """Return the folder of a hub model: the cached one where it is complete, else a download."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if cached := _cached(name, revision):
        return cached
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        called = f"{name}@{revision}" if revision else name
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{called!r} is neither in the local Hugging Face cache nor can it be fetched: {reason}",
            hint=f"give the folder of a downloaded copy, or use a shipped one: {', '.join(shipped())}",
        ) from error


def _cached(name: str, revision: str | None) -> Path | None:
    """Return the folder of a hub model in the local cache, None where it or its weights are not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = list(HUB_FILES)
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
        files_of(folder)
    except (LocalEntryNotFoundError, WeightsError):
        return None
    return folder
