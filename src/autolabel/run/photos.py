"""Sources of the rows' pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autolabel.images import ValueRange
from autolabel.run.candidates import content_of
from autolabel.run.stage import read_row
from autolabel.types import Labels

_Pixels = npt.NDArray[np.uint8]


class Photos(Protocol):
    """The images of some rows, by the position of a row among them."""

    def pixels(self, position: int, row: Labels) -> _Pixels:
        """Return (H, W, 3) uint8 RGB, upright; raises ImageError if that fails."""
        ...

    def content(self, position: int, row: Labels) -> str:
        """Return the hash of the image file's bytes, the cache key of candidates; empty if unknown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFiles:
    """Images as files."""

    max_pixels: int
    value_range: ValueRange = None

    def pixels(self, position: int, row: Labels) -> _Pixels:
        """Decode the file of a row."""
        return read_row(row, max_pixels=self.max_pixels, value_range=self.value_range)

    def content(self, position: int, row: Labels) -> str:
        """Hash the file of a row."""
        return content_of(row)
