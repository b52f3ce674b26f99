"""The log of a training run: JSON lines, and TensorBoard events on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_LOG_FILE = "log.jsonl"
_EVENTS_FOLDER = "tensorboard"


class RunLog:
    """Appends records to a file in the run's folder and reports them, by default on stderr.

    With `tensorboard`, the numbers of records with a `step` are also written as scalars to a folder beside it. Raises
    ModuleNotFoundError if the package tensorboard is missing.
    """

    def __init__(
        self, folder: Path, *, told: Callable[[Mapping[str, Any]], None] | None = None, tensorboard: bool = False
    ) -> None:
        self._path = folder / _LOG_FILE
        self._told = told or _on_stderr
        self._events = _events(folder / _EVENTS_FOLDER) if tensorboard else None

    def write(self, **values: Any) -> None:
        """Write one record."""
        line = json.dumps(values)
        with self._path.open("a") as file:
            file.write(line + "\n")
        self._told(values)
        if self._events is not None and "step" in values:
            for name, value in _numbers(values):
                self._events.add_scalar(f"{values['event']}/{name}", value, values["step"])
            self._events.flush()


def _on_stderr(values: Mapping[str, Any]) -> None:
    sys.stderr.write(json.dumps(values) + "\n")


def _numbers(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in nested mappings with their keys joined by slashes."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "step":
            yield prefix + key, float(value)


def _events(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
