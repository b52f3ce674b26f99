"""Write JSON arrays chunk by chunk, never holding them in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from autolabel.errors import DataError

_ENCODER = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """Return compact UTF-8 JSON; the caller must have rejected non-finite numbers (``finite``)."""
    return _ENCODER.encode(value)


class ArrayWriter:
    """Writes one JSON array to an open file, one line per chunk; ``[]`` if there are no items."""

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
    """Return ``value`` unchanged; raises DataError naming ``place`` if it contains NaN or an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{place}: {value} is not a finite number, JSON cannot carry it")
    if isinstance(value, dict):
        for key, item in value.items():
            finite(item, f"{place}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            finite(item, f"{place}/{index}")
    return value
