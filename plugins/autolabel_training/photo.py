"""A photo with named boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autolabel.images import ValueRange, read_pixels


@dataclass(frozen=True)
class TrainingPhoto:
    """One photo: its path, boxes (n, 4) as x0, y0, x1, y1 in pixels, and one name per box."""

    path: str | Path
    boxes: NDArray[np.float32]
    names: tuple[str, ...]
    value_range: ValueRange = None
    """The values that become black and white, where an image has more than 8 bits."""

    def pixels(self) -> NDArray[np.uint8]:
        """Decode the pixels (height, width, 3) uint8 RGB."""
        return read_pixels(self.path, value_range=self.value_range)
