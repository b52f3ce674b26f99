"""Read the small JSON files of a checkpoint as untrusted input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError

_LARGEST = 16_000_000
"""The longest description, in bytes: an index of 100,000 tensors takes about 12 MB."""


def read_json(file: Path) -> Any:
    """Return the content of a JSON file.

    Raises WeightsError if it cannot be read, is too large, is nested too deep, is not UTF-8, or is not JSON.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    if len(data) > _LARGEST:
        raise WeightsError(f"{file}: is larger than {_LARGEST:,} bytes, too large for a description of a model")
    if data.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{file}: a Git LFS pointer, not the file itself", hint="download it again")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise WeightsError(f"{file}: not JSON: {reason}") from error


def read_mapping(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file that holds a mapping; raises WeightsError as ``read_json`` does."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise WeightsError(f"{file}: not a configuration, but a {type(content).__name__}")
    return content
