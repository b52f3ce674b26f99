"""Read the configuration that transformers leaves beside a checkpoint, without torch."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError


def read_configuration(path: Path) -> dict[str, Any]:
    """Return the content of the config.json in a folder, or beside a file; empty where there is none.

    Raises WeightsError where it is not a JSON object.
    """
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        return {}
    try:
        content: Any = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{file}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{file}: not a configuration, but a {type(content).__name__}")
    return content


def check_kind(path: Path, content: dict[str, Any], kinds: Collection[str]) -> None:
    """Raise WeightsError unless the configuration read at ``path`` is of one of these kinds of model."""
    if not content:
        raise WeightsError(f"{path}: no config.json there", hint="expected a Hugging Face folder with config.json")
    kind = content.get("model_type")
    if kind not in kinds:
        wanted = " or ".join(map(repr, kinds))
        raise WeightsError(f"{path}: config.json says model_type {kind!r}, wanted {wanted}")
