"""An image of the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int]
"""(height, width) in pixels of the upright image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Where an image is, what it is called, and how large it is once upright."""

    id: str
    """Path relative to its root, or to the folder that several roots share; ``/``-separated, unique."""
    path: str
    """What is opened."""
    size: Size
    """(height, width) of the upright image (EXIF orientation applied)."""
    given: Mapping[str, Any] | None = field(default=None, compare=False)
    """What a COCO file of given boxes said of it besides name and size (its id, licence ...); None without one."""
