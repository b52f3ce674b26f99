"""Landmarks of an image: corners, each with a perceptual hash of its surroundings.

A hash of the whole image only detects resaved copies. Hashes of many small patches also detect that two images share a
part of a scene, and where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

_Float = npt.NDArray[np.float32]

_SIDE = 320
"""Pixels of the longer side at which images are compared."""
PATCH = 32
"""Side, in those pixels, of what a hash describes."""
BITS = 63
"""Bits of a hash."""
_CELLS = 6
"""Cells along each side; each cell keeps its strongest places, so that every part of an image has some."""
_EACH = 4
"""Places that a cell keeps."""
_APART = 4
"""A place is the strongest within so many pixels."""
_FAINT = 2.0
"""Corner response, in squared grey levels a pixel, below which a place does not stand out."""
_FREQUENCIES = 8


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The landmarks of one image, scaled so that its longer side has ``_SIDE`` pixels."""

    size: tuple[int, int]
    """(height, width) at that scale."""
    places: npt.NDArray[np.int16]
    """(N, 2) rows and columns."""
    hashes: npt.NDArray[np.uint64]
    """(N,) hashes of ``BITS`` bits; those of the same thing differ in few."""

    @classmethod
    def none(cls, size: tuple[int, int] = (0, 0)) -> Landmarks:
        """Return the landmarks of an image without structure."""
        return cls(size, np.zeros((0, 2), np.int16), np.zeros(0, np.uint64))


def landmarks(pixels: npt.NDArray[np.uint8]) -> Landmarks:
    """Return the landmarks of (H, W, 3) uint8 RGB pixels; none for a picture without structure."""
    grey = _scaled(pixels)
    height, width = grey.shape
    places = _strongest(_corners(grey))
    if not len(places):
        return Landmarks.none((height, width))
    return Landmarks((height, width), places.astype(np.int16), _hashes(grey, places))


def _scaled(pixels: npt.NDArray[np.uint8]) -> _Float:
    """Return grey levels at the scale of comparison, slightly blurred."""
    image = Pillow.fromarray(pixels)
    factor = _SIDE / max(image.size)
    size = (max(PATCH, round(image.width * factor)), max(PATCH, round(image.height * factor)))
    image = image.convert("L").resize(size, Pillow.Resampling.BOX if factor < 1 else Pillow.Resampling.BILINEAR)
    return _mean(np.asarray(image, np.float32), 1)


def _mean(values: _Float, radius: int) -> _Float:
    """Return the mean of the square around each value."""
    side = 2 * radius + 1
    sums = np.pad(values.astype(np.float64), ((radius + 1, radius), (radius + 1, radius)), mode="edge")
    sums = sums.cumsum(0).cumsum(1)
    whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return (whole / side**2).astype(np.float32)


def _corners(grey: _Float) -> _Float:
    """Return the corner response (Harris, in Noble's form) of every pixel; 0 if a patch would not fit."""
    down, right = (np.gradient(grey, axis=axis).astype(np.float32) for axis in (0, 1))
    a, b, c = _mean(down * down, 3), _mean(right * right, 3), _mean(down * right, 3)
    response = (a * b - c * c) / (a + b + 1e-3)
    margin = PATCH // 2
    fits = slice(margin, -margin)
    inner: _Float = np.zeros_like(response)
    inner[fits, fits] = response[fits, fits]
    return inner


def _strongest(response: _Float) -> npt.NDArray[np.int64]:
    """Return (N, 2) local maxima, the best ``_EACH`` of every cell."""
    rows, columns = np.nonzero((response == _highest(response, _APART)) & (response > _FAINT))
    height, width = response.shape
    cells = rows * _CELLS // height * _CELLS + columns * _CELLS // width
    order = np.lexsort((columns, rows, -response[rows, columns], cells))
    starts = np.searchsorted(cells[order], cells[order])
    best = order[np.arange(len(order)) - starts < _EACH]
    return np.stack([rows[best], columns[best]], axis=1)


def _highest(values: _Float, radius: int) -> _Float:
    """Return the highest value in the square around each one."""
    for axis in (0, 1):
        highest = values.copy()
        for step in range(1, radius + 1):
            near = [slice(None), slice(None)]
            far = [slice(None), slice(None)]
            near[axis], far[axis] = slice(None, -step), slice(step, None)
            np.maximum(highest[tuple(near)], values[tuple(far)], out=highest[tuple(near)])
            np.maximum(highest[tuple(far)], values[tuple(near)], out=highest[tuple(far)])
        values = highest
    return values


def _hashes(grey: _Float, places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the signs of the lowest frequencies of each patch's cosine transform, without the mean."""
    margin = PATCH // 2
    windows = np.lib.stride_tricks.sliding_window_view(grey, (PATCH, PATCH))
    patches = windows[places[:, 0] - margin, places[:, 1] - margin]
    waves = _waves()
    spectrum = (waves @ patches @ waves.T).reshape(len(places), -1)[:, 1:]
    powers = np.left_shift(np.uint64(1), np.arange(BITS, dtype=np.uint64))
    hashes: npt.NDArray[np.uint64] = np.where(spectrum > 0, powers, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return hashes


def _waves() -> _Float:
    """Return the (frequencies, PATCH) cosines of the transform."""
    frequency, pixel = np.arange(_FREQUENCIES)[:, None], np.arange(PATCH)
    return np.cos(np.pi * (2 * pixel + 1) * frequency / (2 * PATCH)).astype(np.float32)
