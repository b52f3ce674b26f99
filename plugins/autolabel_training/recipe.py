"""Read training recipes from YAML into frozen dataclasses, with errors for unknown keys, missing keys, wrong values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter
from ruamel.yaml import YAML

STRICT = ConfigDict(extra="forbid")
"""The configuration of every record: a key it does not know is an error."""

_R = TypeVar("_R")


def read(kind: type[_R], path: Path) -> _R:
    """Read a recipe from YAML; ValueError (pydantic's) names each key that does not fit."""
    return build(kind, YAML(typ="safe").load(path))


def build(kind: type[_R], raw: dict[str, Any]) -> _R:
    """Build a recipe from plain nested mappings, as `plain` gives them."""
    return TypeAdapter(kind).validate_python(raw)


def plain(recipe: Any) -> dict[str, Any]:
    """Return a recipe as nested mappings of JSON types."""
    return asdict(recipe)
