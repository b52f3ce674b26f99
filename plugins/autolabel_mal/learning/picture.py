"""A picture with boxes, and with masks if a network is evaluated on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autolabel.images import ValueRange, read_pixels
from autolabel.types import Rle

_DECODED = 512
"""Photos kept decoded."""


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
        return self.source if isinstance(self.source, np.ndarray) else _decode(self.source, self.value_range)


@lru_cache(maxsize=_DECODED)
def _decode(path: str | Path, value_range: ValueRange) -> NDArray[np.uint8]:
    return read_pixels(path, value_range=value_range)
