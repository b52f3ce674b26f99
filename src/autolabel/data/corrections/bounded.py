"""Reads documents of other tools whole, but never more than a limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autolabel.errors import DataError

MOST_DOCUMENT = 1 << 27
"""Bytes of one file that is read whole."""


def read_bytes(path: Path, *, most: int = MOST_DOCUMENT, hint: str = "export it in parts") -> bytes:
    """Return what a regular file holds; raises DataError if it cannot be read or is larger than ``most`` bytes."""
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file", hint="save it as a file first")
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise DataError(f"{path}: is larger than {most:,} bytes", hint=hint)
    return content


def read_bounded_json(path: Path, *, hint: str = "export it in parts") -> Any:
    """Return what a JSON file says; raises DataError if it is none, or too large."""
    content = read_bytes(path, hint=hint)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
