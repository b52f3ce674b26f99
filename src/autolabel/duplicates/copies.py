"""Decide whether two images are copies: the same picture, saved again, resized, or a little brighter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

_SIDE = 256
"""The longer side, in pixels, at which pictures are compared; half that of a picture with less than twice as many."""
_BLOCK = 8
"""Side of the squares that must each agree: a small thing that moved changes few pixels."""
_DIFFERENT = 20.0
"""Grey levels (root mean square of a square) by which a copy may differ.

Pictures of six sets saved at quality 20 differ by at most 12, resized ones by at most 33 and mostly by less than 10;
shots in a row and frames of a video by 57 or more.
"""
_FAINT = 1.0
"""Standard deviation, in grey levels, below which a picture shows nothing that could be compared."""

_Float = npt.NDArray[np.float32]


def same_picture(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    """Return whether two pictures (H, W, 3) uint8 RGB show the same with the same frame.

    Size, compression, colours and a little brightness may differ. A cut, an object that moved or a mirrored picture is
    no copy.
    """
    (height, width), (other_height, other_width) = first.shape[:2], second.shape[:2]
    if abs(width * other_height - height * other_width) > max(height, width, other_height, other_width):
        return False  # by more than rounding: the sides are in another proportion
    longest = min(_SIDE, max(height, width) // 2, max(other_height, other_width) // 2)
    factor = longest / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if min(size) < _BLOCK:
        return False
    one, other = _grey(first, size), _grey(second, size)
    spread = float(one.std())
    gain = float(((one - one.mean()) * (other - other.mean())).mean()) / max(spread, _FAINT) ** 2
    if spread < _FAINT or gain <= 0:
        return False
    left = (other - other.mean()) / gain - (one - one.mean())
    return float(np.sqrt(_blocks(left * left)).max()) <= _DIFFERENT


def _grey(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> _Float:
    return np.asarray(Pillow.fromarray(pixels).convert("L").resize(size, Pillow.Resampling.BOX), np.float32)


def _blocks(values: _Float) -> _Float:
    """Return the means of squares; those at the right and lower edge reach back over their neighbours."""
    height, width = values.shape
    rows = np.minimum(np.arange(0, height, _BLOCK), height - _BLOCK)
    columns = np.minimum(np.arange(0, width, _BLOCK), width - _BLOCK)
    windows = np.lib.stride_tricks.sliding_window_view(values, (_BLOCK, _BLOCK))[np.ix_(rows, columns)]
    means: _Float = windows.mean((2, 3))
    return means
