"""One box to segment."""

from __future__ import annotations

from dataclasses import dataclass

from autolabel_mal.crop import CropRegion, UInt8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A crop to cut, and the box that its mask belongs to."""

    sample: int
    """Index of the image in the batch."""
    index: int
    """Index of the box in its image."""
    pixels: UInt8
    """(H, W, 3) of the image."""
    region: CropRegion
    threshold: float
