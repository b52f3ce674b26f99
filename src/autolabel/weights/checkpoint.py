"""Resolve a checkpoint: a shipped name, a path, or a name on the Hugging Face hub."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints, ValidationInfo

from autolabel.errors import WeightsError
from autolabel.paths import absolute_path as absolute
from autolabel.paths import spec_root
from autolabel.weights import hub

_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
_FOLDERS_VARIABLE = "AUTOLABEL_CHECKPOINTS"
_DISTRIBUTION, _MODULE = "autolabel-vision-checkpoints", "autolabel_checkpoints"
_PATHS = "a path begins with ./ or ends in .pth or .safetensors"


def shipped() -> dict[str, Path]:
    """Return the checkpoints of a clone, of the installed distribution and of ``AUTOLABEL_CHECKPOINTS``, by name."""
    found: dict[str, Path] = {}
    for folder in _shelves():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if (path / "config.json").is_file():
                    found.setdefault(path.name, path)
    return found


def _shelves() -> list[Path]:
    """Return the search folders for shipped checkpoints: the variable, a clone's root, the installed distribution."""
    package = Path(__file__).resolve().parents[1]
    folders = [Path(folder) for folder in os.environ.get(_FOLDERS_VARIABLE, "").split(os.pathsep) if folder]
    if package.parent.name == "src":
        folders.append(package.parents[1] / "checkpoints")
    installed = importlib.util.find_spec(_MODULE)
    folders.extend(Path(folder) for folder in (installed and installed.submodule_search_locations) or ())
    return folders


def _resolve(value: object, info: ValidationInfo) -> object:
    """Make a path absolute against the spec's folder; keep shipped and hub names, and values that are not strings."""
    if not isinstance(value, str) or not value or value in shipped():
        return value
    if _looks_like_path(value) or spec_root(value, info).joinpath(value).exists():
        return absolute(value, info)
    return str(value)


def _looks_like_path(value: str) -> bool:
    """Return whether a name must be a path, by its prefix or by a weight file extension."""
    return value.startswith(("./", "../", "/", "~", ".\\", "..\\")) or value.lower().endswith(_SUFFIXES)


CheckpointPath = Annotated[str, StringConstraints(min_length=1), BeforeValidator(_resolve)]
"""A checkpoint in a strategy's ``Params``: ``tiny``, ``./file.pth``, ``folder``, ``org/name`` or ``org/name@revision``.

A shipped name comes first, then a path relative to the spec that exists or looks like one, then the hub.
"""


def locate_checkpoint(checkpoint: str, *, weights: bool = True) -> Path:
    """Return the file or folder of a validated checkpoint name.

    Hub models come from huggingface_hub's cache, or are downloaded unless ``HF_HUB_OFFLINE`` is set; without
    ``weights`` only configuration and tokenizer are downloaded. Raises WeightsError, with the nearest name as a hint,
    if nothing is found.
    """
    ours = shipped()
    if checkpoint in ours:
        return ours[checkpoint]
    path = Path(checkpoint)
    if path.is_absolute() or _looks_like_path(checkpoint) or path.exists():
        return _existing(path)
    if (named := _hub_name(checkpoint)) is None:
        raise WeightsError(f"no checkpoint is called {checkpoint!r}", hint=_nearest(checkpoint, list(ours)))
    return hub.snapshot(*named, weights=weights)


def on_hub(checkpoint: str) -> bool:
    """Return whether a validated checkpoint name is a hub name, neither shipped nor a path."""
    if not checkpoint or checkpoint in shipped() or _looks_like_path(checkpoint) or Path(checkpoint).exists():
        return False
    return _hub_name(checkpoint) is not None


def check_reachable(checkpoint: str) -> None:
    """Raise WeightsError unless a hub model is cached or exists on the hub; downloads nothing."""
    if (named := _hub_name(checkpoint)) is not None and on_hub(checkpoint):
        hub.check_on_hub(*named)


def is_cached(checkpoint: str, *, weights: bool = True) -> bool:
    """Return whether a checkpoint needs no network: it is not a hub name, or it is cached.

    Without ``weights``, only configuration and tokenizer are considered.
    """
    named = _hub_name(checkpoint)
    if named is None or not on_hub(checkpoint):
        return True
    folder = hub.cached(*named)
    return folder is not None and not hub.lacking(folder, weights=weights)


def _hub_name(checkpoint: str) -> tuple[str, str | None] | None:
    match = _HUB_NAME.fullmatch(checkpoint)
    return (match["name"], match["revision"]) if match and match["name"].count("/") == 1 else None


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
    if not known:
        return f"install {_DISTRIBUTION} (in a clone: pip install ./checkpoints) for tiny and tiny-mal; {_PATHS}"
    start = f"did you mean {near[0]!r}? " if near else ""
    return f"{start}shipped: {', '.join(known)}; {_PATHS}"
