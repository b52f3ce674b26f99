"""Finds what would have the host wait for a GPU, on a machine without one.

The work is done on torch's ``meta`` device, which computes shapes but no values: whatever needs a value fails, and
every copy between it and the host is noted here.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

FACTORIES = (torch.tensor, torch.as_tensor, torch.asarray)
"""Given a device, they copy from memory that is not pinned."""


class _Copies(TorchDispatchMode):
    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self._waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {tensor.device.type for tensor in _tensors([args, kwargs]) if tensor.dim()}
        made = {tensor.device.type for tensor in _tensors(result)}
        if made and given and (len(given) > 1 or made != given):
            _note(self._waits, str(func))
        return result


class _Factories(TorchFunctionMode):
    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in FACTORIES and torch.device((kwargs or {}).get("device") or "cpu").type == "meta":
            _note(self._waits, func.__name__)
        return func(*args, **(kwargs or {}))


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(list(values.values()))
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for value in values:
            yield from _tensors(value)


def _note(waits: list[str], what: str) -> None:
    """Add a line that says where; copies by way of ``to_device``, which do not wait, are passed over."""
    frames = traceback.extract_stack()
    if any(frame.name == "to_device" for frame in frames):
        return
    own = [frame for frame in frames if "/autolabel" in frame.filename or "/transformers/" in frame.filename]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "elsewhere"
    waits.append(f"{what} at {where}")


@contextmanager
def waits_noted() -> Iterator[list[str]]:
    """Yield a list that copies to and from ``meta`` are added to; precisions are left alone, which it has none of."""
    waits: list[str] = []
    with patch("torch.autocast", lambda *_, **__: nullcontext()), torch.no_grad(), _Factories(waits), _Copies(waits):
        yield waits
