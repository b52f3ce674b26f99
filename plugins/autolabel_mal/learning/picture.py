"""A picture with boxes, and with masks if a network is evaluated on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autolabel.images import read_pixels
from autolabel.types import Rle

_DECODED = 512
"""Photos kept decoded."""


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A photo's path or a scene's pixels (h, w, 3) uint8; boxes (n, 4) x0, y0, x1, y1; n masks, or none."""

    source: Path | NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: tuple[Rle, ...] = ()

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels (height, width, 3) uint8 RGB, decoding the photo unless it is cached."""
        return _decode(self.source) if isinstance(self.source, Path) else self.source


@lru_cache(maxsize=_DECODED)
def _decode(path: Path) -> NDArray[np.uint8]:
    return read_pixels(path)
