"""The name of an output file, relative to the folder of its export."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator


def _checked(value: str) -> str:
    """Return ``value``; raises ValueError if it is empty, absolute, leaves the folder, or no system can write it."""
    parts = PurePosixPath(value).parts
    if not parts or value.endswith("/") or set(parts) & {".", ".."}:
        raise ValueError(f"must be the name of a file inside the export's folder, got {value!r}")
    if value.startswith("/") or PureWindowsPath(value).drive or "\\" in value:
        raise ValueError(f"must be relative, with '/' between folders, got {value!r}")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError(f"must not hold control characters, got {value!r}")
    return value


RelativeName = Annotated[str, AfterValidator(_checked)]
