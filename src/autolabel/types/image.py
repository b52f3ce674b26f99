"""An image of the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int]
"""(height, width) in pixels of the upright image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image file: its id, its path, and its upright size."""

    id: str
    """Path relative to its root, or to the folder that several roots share; ``/``-separated, unique."""
    path: str
    """The path or URL that is opened."""
    size: Size
    """(height, width) of the upright image (EXIF orientation applied)."""
    given: Mapping[str, Any] | None = field(default=None, compare=False)
    """Other fields of the image in the COCO file of given boxes (id, licence ...); None without such a file."""
