"""Read the tensors of a checkpoint without running any code in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.errors import WeightsError
from autolabel.weights.content import weight_files
from autolabel.weights.stand_ins import stand_ins

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".tar")
NESTS = ("state_dict", "model", "model_state_dict", "module")
LIKELY_TEXT = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    b"<!doctype": "a web page, not weights",
    b"<html": "a web page, not weights",
    b"<?xml": "an XML page, not weights",
}


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, or of a folder's weight files, by key, on the CPU.

    Only these are read into memory. ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` go through torch's weights-only reader,
    which runs no code; settings that TAO and Lightning leave in a file are passed over; tensors nested under
    ``state_dict`` or ``model`` are taken out. Raises WeightsError that names the file and the reason: not weights,
    truncated, encrypted, holds objects that would run code, or holds no tensors.
    """
    state: dict[str, Tensor] = {}
    for file in weight_files(path) if path.is_dir() else (path,):
        state.update(_load_file(file))
    return state


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take mapped tensors into memory, so that a file replaced during a run does not change the network."""
    return {key: tensor.clone() for key, tensor in state.items()}


def _load_file(file: Path) -> dict[str, Tensor]:
    _refuse_text(file)
    if file.suffix == ".safetensors":
        return _load_safetensors(file)
    if file.suffix.lower() in PICKLES:
        return _tensors(file, _unpickle(file))
    raise WeightsError(
        f"{file}: {file.suffix or 'no suffix'} is not read", hint=f"expected .safetensors, {', '.join(PICKLES)}"
    )


def _refuse_text(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            start = stream.read(64).lstrip()
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    if not start:
        raise WeightsError(f"{file}: empty", hint="download it again")
    for mark, kind in LIKELY_TEXT.items():
        if start.lower().startswith(mark):
            raise WeightsError(f"{file}: {kind}", hint="download it again")


def _load_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{file}: not a whole safetensors file: {error}", hint="download it again") from error
    return _copied(loaded)


def _unpickle(file: Path) -> Any:
    import torch

    mapped = zipfile.is_zipfile(file)
    try:
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError:
            settings = stand_ins(file) if mapped else None
            if settings is None:
                raise
            with torch.serialization.safe_globals(settings):
                return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{file}: refused: {_refusal(error)}", hint="use a safetensors file") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{file}: not a whole PyTorch file: {reason}", hint="download it again") from error


def _refusal(error: Exception) -> str:
    """Return the sentence of torch's long message that says what was found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), None)
    found = found or next((line for line in lines if "WeightsUnpickler" in line), lines[0] if lines else "unreadable")
    return f"it holds more than tensors, and loading it could run code ({found[:200]})"


def _tensors(file: Path, content: Any) -> dict[str, Tensor]:
    import torch

    if isinstance(content, Mapping) and content.get("state_dict_encrypted"):
        raise WeightsError(f"{file}: encrypted by TAO", hint="export it unencrypted, with no key in the spec")
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{file}: holds a {type(content).__name__}, not tensors by name")
    state = _copied({str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)})
    if not state:
        raise WeightsError(f"{file}: holds no tensors; its keys are {', '.join(map(str, list(content)[:5])) or 'none'}")
    return state
