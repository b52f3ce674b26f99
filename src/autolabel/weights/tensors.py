"""Read the tensors of a checkpoint without running code from it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.errors import WeightsError
from autolabel.weights.content import weight_files
from autolabel.weights.headers import no_tensors, tensor_headers
from autolabel.weights.rust_errors import first_line
from autolabel.weights.stand_ins import stand_ins
from autolabel.weights.unwrap import innermost

if TYPE_CHECKING:
    from torch import Tensor

_PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".tar")
_LIKELY_TEXT = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    b"<!doctype": "a web page, not weights",
    b"<html": "a web page, not weights",
    b"<?xml": "an XML page, not weights",
}


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, or of a folder's weight files, by key, on the CPU.

    Only tensors are read into memory. ``.pth``, ``.pt``, ``.ckpt`` and ``.bin`` are read by torch's weights-only
    reader, which runs no code; settings of TAO and Lightning are ignored; tensors nested under ``state_dict``,
    ``model`` and the like are unwrapped. Raises WeightsError with the file and the reason: not weights, truncated,
    encrypted, objects that would run code, tensors larger than their data, or no tensors.
    """
    state: dict[str, Tensor] = {}
    for file in weight_files(path) if path.is_dir() else (path,):
        state.update(_load_file(file))
    return state


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy memory-mapped tensors, so that replacing the file during a run does not change the network.

    Tensors that share data in the file still share it.
    """
    known: dict[tuple[Any, ...], Tensor] = {}
    for tensor in state.values():
        key = _place(tensor)
        if key not in known:
            known[key] = tensor.clone()
    return {key: known[_place(tensor)] for key, tensor in state.items()}


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride())


def _load_file(file: Path) -> dict[str, Tensor]:
    _refuse_text(file)
    if file.suffix == ".safetensors":
        return _load_safetensors(file)
    if file.suffix.lower() in _PICKLES:
        tensor_headers(file)
        return _tensors(file, _unpickle(file))
    raise WeightsError(
        f"{file}: {file.suffix or 'no suffix'} is not read", hint=f"expected .safetensors, {', '.join(_PICKLES)}"
    )


def _refuse_text(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            start = stream.read(64).lstrip()
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    if not start:
        raise WeightsError(f"{file}: empty", hint="download it again")
    for mark, kind in _LIKELY_TEXT.items():
        if start.lower().startswith(mark):
            raise WeightsError(f"{file}: {kind}", hint="download it again")


def _load_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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
        raise WeightsError(
            f"{file}: not a whole PyTorch file: {first_line(error)}", hint="download it again"
        ) from error


def _refusal(error: Exception) -> str:
    """Return the informative sentence of torch's long message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), None)
    found = found or next((line for line in lines if "WeightsUnpickler" in line), lines[0] if lines else "unreadable")
    return f"it holds more than tensors, and loading it could run code ({found[:200]})"


def _tensors(file: Path, content: Any) -> dict[str, Tensor]:
    import torch

    if isinstance(content, Mapping) and content.get("state_dict_encrypted"):
        raise WeightsError(f"{file}: encrypted by TAO", hint="export it unencrypted, with no key in the spec")
    if not isinstance(content, Mapping):
        raise WeightsError(f"{file}: holds a {type(content).__name__}, not tensors by name")
    inner = innermost(content, lambda value: isinstance(value, torch.Tensor))
    tensors = {str(key): value for key, value in inner.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise no_tensors(file, content, lambda value: isinstance(value, torch.Tensor))
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided:
            raise WeightsError(f"{file}: the tensor {key!r} is {tensor.layout}, wanted a plain one")
        if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{file}: the tensor {key!r} has more numbers than the file holds")
    return _copied(tensors)
