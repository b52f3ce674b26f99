"""Scale pixel values of any range to 8 bits, with one rule for all formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autolabel.errors import ImageError

if TYPE_CHECKING:
    import numpy.typing as npt

ValueRange = tuple[float, float] | None
"""The values that become black and white; None: found for each image."""
Pixels: TypeAlias = "npt.NDArray[np.uint8]"

_DEPTHS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of 8, 10, 12, 14 and 16 bits."""
_LARGEST_UNIT = 16.0
"""A float image whose values stay below is one of 0 to 1, with highlights above 1."""
STRIP = 1 << 20
"""Values that are worked on at a time: what is made on the way stays small beside the image."""


def to_bytes(values: npt.NDArray[Any], value_range: ValueRange, *, inverted: bool = False) -> Pixels:
    """Return (H, W, 3) uint8 of (H, W) or (H, W, C) integers or floats; of more than three channels, the first three.

    ``value_range`` is mapped to 0 to 255, with clipping; if None, ``_range_of`` determines it. ``inverted`` means that
    the smallest value is white. Raises ImageError ``corrupt_image`` where no value is finite.
    """
    channels = values if values.ndim == 3 else values[:, :, None]
    channels = channels[:, :, : 3 if channels.shape[2] >= 3 else 1]
    low, high = _range_of(channels) if value_range is None else value_range
    out = np.empty((*channels.shape[:2], 3), np.uint8)
    table = _table(low, high) if channels.dtype == np.uint16 else None
    for rows in _strips(channels):
        part = channels[rows]
        out[rows] = _scaled(part, low, high) if table is None else table[part]
        if inverted:
            np.subtract(255, out[rows], out=out[rows])
    return out


def _range_of(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the values for black and white.

    For integers, 0 to the maximum of 8, 10, 12, 14 or 16 bits, the smallest that covers the image; beyond 16 bits, 0 to
    the largest value. For floats up to 16, 0 to 1, or to the largest value above 1. With negative values, the smallest
    to the largest.
    """
    least, most = _extremes(values)
    if least < 0:
        return least, most if most > least else least + 1
    if values.dtype.kind == "f" and most < _LARGEST_UNIT:
        return 0.0, max(1.0, most)
    return 0.0, next((depth for depth in _DEPTHS if most <= depth), most)


def _extremes(values: npt.NDArray[Any]) -> tuple[float, float]:
    least, most = np.inf, -np.inf
    for rows in _strips(values):
        part = values[rows]
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if finite.size:
            least, most = min(least, float(finite.min())), max(most, float(finite.max()))
    if least > most:
        raise ImageError("corrupt_image", "holds no finite value")
    return least, most


def _table(low: float, high: float) -> Pixels:
    return _scaled(np.arange(1 << 16, dtype=np.float64), low, high)


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> Pixels:
    scaled = (values.astype(np.float64) - low) * 255 / (high - low)
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    scaled_bytes: Pixels = np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)
    return scaled_bytes


def _strips(values: npt.NDArray[Any]) -> Iterator[slice]:
    rows = max(1, STRIP // max(1, int(np.prod(values.shape[1:]))))
    return (slice(start, start + rows) for start in range(0, len(values), rows))
