"""Pad and shrink images as OWLv2's authors do, without SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_Float32: TypeAlias = "npt.NDArray[np.float32]"
_Taps: TypeAlias = "tuple[npt.NDArray[np.intp], _Float32]"
_TRUNCATE = 4.0
"""Standard deviations after which the Gaussian is cut off (SciPy's)."""


def square(pixels: npt.NDArray[np.uint8], side: int) -> _Float32:
    """Return (side, side, 3) in 0..1: black below or right of the image to make it square, smoothed, then resampled.

    A Gaussian of (factor - 1) / 2 before linear interpolation at the centres of the new pixels, mirrored at the edges:
    the rule of skimage's ``resize`` with ``anti_aliasing``, as in transformers' ``Owlv2ImageProcessorPil``. Only the
    smoothed pixels that are sampled are computed.
    """
    height, width = pixels.shape[:2]
    rows = _gather(pixels.reshape(height, -1), _taps(max(height, width), side)).reshape(side, width, 3)
    columns = _gather(rows.transpose(1, 0, 2).reshape(width, -1), _taps(max(height, width), side))
    return np.ascontiguousarray(columns.reshape(side, side, 3).transpose(1, 0, 2)) / np.float32(255)


def _gather(lines: npt.NDArray[np.uint8] | _Float32, taps: _Taps) -> _Float32:
    """Return each output line (count, length) as a weighted sum of input lines; those past the end are black."""
    index, weights = taps
    total = np.zeros((len(index), lines.shape[1]), np.float32)
    for position in range(index.shape[1]):
        inside = np.flatnonzero(index[:, position] < len(lines))
        total[inside] += weights[inside, position, None] * lines[index[inside, position]]
    return total


def _taps(length: int, count: int) -> _Taps:
    """Return the source pixels (count, T) and weights of each of ``count`` samples of a line of ``length``."""
    factor = length / count
    kernel = _gaussian(max(0.0, (factor - 1) / 2))
    reach = len(kernel) // 2
    places = (np.arange(count) + 0.5) * factor - 0.5
    left = np.floor(places).astype(np.intp)
    part = places - left
    weights = np.zeros((count, len(kernel) + 1))
    weights[:, :-1] += (1 - part)[:, None] * kernel
    weights[:, 1:] += part[:, None] * kernel
    return _mirrored(left[:, None] + np.arange(-reach, reach + 2), length), weights.astype(np.float32)


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    reach = int(_TRUNCATE * sigma + 0.5) if sigma > 0 else 0
    offsets = np.arange(-reach, reach + 1)
    heights = np.exp(-0.5 * (offsets / sigma) ** 2) if reach else np.ones(1)
    kernel: npt.NDArray[np.float64] = heights / heights.sum()
    return kernel


def _mirrored(index: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
    """Reflect indices about the centres of the first and the last pixel."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.mod(index, period)
    return np.where(folded < length, folded, period - folded)
