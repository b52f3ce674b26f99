"""The log of a training run: one JSON object a line, and TensorBoard events where they are asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOG_FILE = "log.jsonl"
EVENTS_FOLDER = "tensorboard"


class RunLog:
    """Appends records to a file of a run's folder and shows them on stderr.

    With `tensorboard` the numbers of records that have a `step` also become scalars in a folder beside it. Raises
    ModuleNotFoundError where the package tensorboard is missing.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self._path = folder / LOG_FILE
        self._events = _events(folder / EVENTS_FOLDER) if tensorboard else None

    def write(self, **values: Any) -> None:
        """Write one record."""
        line = json.dumps(values)
        with self._path.open("a") as file:
            file.write(line + "\n")
        print(line, file=sys.stderr, flush=True)
        if self._events is not None and "step" in values:
            for name, value in numbers(values):
                self._events.add_scalar(f"{values['event']}/{name}", value, values["step"])
            self._events.flush()


def numbers(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested mappings with their keys joined by slashes."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "step":
            yield prefix + key, float(value)


def _events(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
