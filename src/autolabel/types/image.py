"""An image of the data set."""

from __future__ import annotations

from dataclasses import dataclass

Size = tuple[int, int]
"""(height, width) in pixels of the upright image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Where an image is, what it is called, and how large it is once upright."""

    id: str
    """Path relative to its root, ``/``-separated, prefixed with the root's name where there are several; unique."""
    path: str
    """What is opened."""
    size: Size
    """(height, width) of the upright image (EXIF orientation applied)."""
