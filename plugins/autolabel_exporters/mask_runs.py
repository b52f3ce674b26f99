"""Masks as row-major runs of the part of the image that they cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autolabel.types import Rle

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """The part of the image that a mask covers."""

    left: int
    top: int
    mask: npt.NDArray[np.bool_]
    """(h, w), at least one pixel of it inside on every side."""


def crop(rle: Rle) -> Crop | None:
    """Cut a mask to the pixels inside; None if there are none."""
    mask = rle.decode()
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    left, right, top, bottom = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    return Crop(left, top, mask[top:bottom, left:right])
