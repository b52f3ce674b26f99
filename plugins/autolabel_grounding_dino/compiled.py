"""The inner loop of multi-scale deformable sampling, compiled by numba."""

from __future__ import annotations

from math import floor
from typing import Any

import numba
import numpy as np

SIGNATURE = (
    "void(float32[:,:,:,::1], int64[:,::1], int64[::1], float32[:,:,:,:,:,::1], float32[:,:,:,:,::1],"
    " float32[:,:,:,::1], int64, int64)"
)


def _sample(
    value: Any, shapes: Any, starts: Any, places: Any, weights: Any, result: Any, first: int, last: int
) -> None:
    """Add weighted bilinear samples of ``value`` (batch, tokens, heads, channels) to ``result`` for some queries.

    ``places`` are x, y in 0..1 as (batch, queries, heads, levels, points, 2), ``weights`` the same without the last
    dimension, ``result`` zeros of (batch, queries, heads, channels), of which the queries from ``first`` to before
    ``last`` are filled; what lies outside a map counts as zero.
    """
    heads, levels, points = weights.shape[2:]
    channels = value.shape[3]
    for b in range(value.shape[0]):
        for q in range(first, last):
            for h in range(heads):
                target = result[b, q, h]
                for level in range(levels):
                    height, width = shapes[level, 0], shapes[level, 1]
                    for p in range(points):
                        x = places[b, q, h, level, p, 0] * np.float32(width) - np.float32(0.5)
                        y = places[b, q, h, level, p, 1] * np.float32(height) - np.float32(0.5)
                        if not (x > -1 and y > -1 and x < width and y < height):
                            continue
                        left, top = floor(x), floor(y)
                        right_part, bottom_part = x - np.float32(left), y - np.float32(top)
                        weight = weights[b, q, h, level, p]
                        for corner in range(4):
                            cell_x, cell_y = left + corner % 2, top + corner // 2
                            if cell_x < 0 or cell_y < 0 or cell_x >= width or cell_y >= height:
                                continue
                            part_x = right_part if corner % 2 else np.float32(1) - right_part
                            part_y = bottom_part if corner // 2 else np.float32(1) - bottom_part
                            source = value[b, starts[level] + cell_y * width + cell_x, h]
                            factor = weight * part_x * part_y
                            for c in range(channels):
                                target[c] += factor * source[c]


def _compile(function: Any) -> Any:
    """Compile once a machine; once a process where no folder for the result can be written."""
    try:
        return numba.njit(SIGNATURE, nogil=True, fastmath=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(SIGNATURE, nogil=True, fastmath=True)(function)


sample = _compile(_sample)
