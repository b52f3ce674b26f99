"""The description of a checkpoint, beside its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError
from autolabel.weights import UNKNOWN, Licence, licence_of, read_mapping, weight_files

_NVIDIA = Licence("nvidia-source-code-license-nc", False)


@dataclass(frozen=True, slots=True)
class _Description:
    """The facts that can be read without torch."""

    crop_size: int | None = None


def describe(path: Path) -> _Description:
    """Read a safetensors file's metadata or a folder's ``config.json``; other formats have no description."""
    says: dict[str, Any] = {}
    for file in weight_files(path) if path.is_dir() else (path,):
        says.update(_metadata(file))
    if (path / "config.json").is_file():
        says.update(read_mapping(path / "config.json"))
    crop = says.get("crop_size")
    if crop is None:
        return _Description()
    if not str(crop).isdigit() or int(crop) < 1:
        raise WeightsError(f"{path}: its crop_size must be a positive integer, got {crop!r}")
    return _Description(crop_size=int(crop))


def _metadata(file: Path) -> Mapping[str, str]:
    if file.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            return dict(tensors.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{file}: not a whole safetensors file: {error}", hint="download it again") from error


def licence(path: Path) -> Licence:
    """Return a checkpoint's licence: as its files state, otherwise NVIDIA's non-commercial licence for pickled files.

    A safetensors file without a statement has an unknown licence.
    """
    stated = licence_of(path)
    pickled = path.suffix != ".safetensors" and not path.is_dir()
    return _NVIDIA if stated == UNKNOWN and pickled else stated
