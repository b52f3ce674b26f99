"""A picture with boxes, and with masks if a network is evaluated on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autolabel.images import ValueRange, read_pixels
from autolabel.recently_used import RecentlyUsed
from autolabel.types import Rle

_MOST_BYTES = 1 << 30
"""Bytes of photos that are kept decoded."""


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A photo's path or a scene's pixels (h, w, 3) uint8; boxes (n, 4) x0, y0, x1, y1; n masks, or none."""

    source: str | Path | NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: tuple[Rle, ...] = ()
    value_range: ValueRange = None
    """The values of a photo that become black and white, where it has more than 8 bits."""

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels (height, width, 3) uint8 RGB, decoding the photo unless it is cached."""
        if isinstance(self.source, np.ndarray):
            return self.source
        key = (self.source, self.value_range)
        pixels = _decoded.get(key)
        if pixels is None:
            pixels = read_pixels(self.source, value_range=self.value_range)
            _decoded.keep(key, pixels)
        return pixels


_decoded: RecentlyUsed[NDArray[np.uint8]] = RecentlyUsed(_MOST_BYTES, size_of=lambda pixels: pixels.nbytes)
