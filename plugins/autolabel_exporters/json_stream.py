"""JSON arrays that are written chunk by chunk and never held in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from autolabel.errors import DataError

_ENCODER = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """Return compact UTF-8 JSON; a number that is not finite must have been refused before (``finite``)."""
    return _ENCODER.encode(value)


class ArrayWriter:
    """One JSON array in a file that is open for writing; a line a chunk, ``[]`` where there is nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.separator = b"[\n"

    def extend(self, chunk: Sequence[Any]) -> None:
        """Append the items of ``chunk``."""
        if chunk:
            self.file.write(self.separator)
            self.file.write(memoryview(to_json(chunk))[1:-1])
            self.separator = b",\n"

    def close(self) -> None:
        """Write the closing bracket."""
        self.file.write(b"[]" if self.separator == b"[\n" else b"\n]")


def finite(value: Any, place: str) -> Any:
    """Return ``value`` unchanged; raises DataError naming ``place`` where a number in it is NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{place}: {value} is not a finite number, JSON cannot carry it")
    if isinstance(value, dict):
        for key, item in value.items():
            finite(item, f"{place}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            finite(item, f"{place}/{index}")
    return value
