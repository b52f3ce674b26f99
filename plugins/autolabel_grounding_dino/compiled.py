"""The inner loop of multi-scale deformable attention, compiled by numba."""

from __future__ import annotations

from math import exp, floor
from typing import Any

import numpy as np

from autolabel.kernels import compiled

_SIGNATURE = (
    "void(float32[:,:,:,::1], int64[:,::1], int64[::1], float32[:,:,:,::1], float32[:,:,::1],"
    " float32[:,:,:,::1], int64, int64)"
)


@compiled(_SIGNATURE, fastmath={"contract"})
def attend(
    value: Any, shapes: Any, starts: Any, references: Any, drawn: Any, result: Any, first: int, last: int
) -> None:
    """Add weighted bilinear samples of ``value`` (batch, tokens, heads, channels) to ``result`` for some queries.

    ``drawn`` (batch, queries, heads * levels * points * 3) is the output of the query's projections: first the offsets,
    x and y of each point, then the logits of the weights, to which a softmax per head is applied. Offsets count from
    ``references`` (batch, queries, levels, 2 or 4): in cells of a level from points x, y in 0..1, or in halves of the
    sides from the centres of boxes x, y, width, height. ``result`` is zeros of (batch, queries, heads, channels), of
    which the queries from ``first`` to before ``last`` are filled; what lies outside a map counts as zero. Places are
    computed in transformers' order, so that they are rounded alike.
    """
    heads, channels = value.shape[2:]
    levels = shapes.shape[0]
    samples = drawn.shape[2] // (3 * heads)
    points = samples // levels
    logits = 2 * heads * samples
    boxed = references.shape[3] == 4
    weights = np.empty(samples, np.float32)
    for b in range(value.shape[0]):
        for q in range(first, last):
            row = drawn[b, q]
            for h in range(heads):
                target = result[b, q, h]
                most = row[logits + h * samples]
                for s in range(1, samples):
                    most = max(most, row[logits + h * samples + s])
                total = np.float32(0)
                for s in range(samples):
                    weights[s] = exp(row[logits + h * samples + s] - most)
                    total += weights[s]
                for s in range(samples):
                    level = s // points
                    height, width = shapes[level, 0], shapes[level, 1]
                    x = row[2 * (h * samples + s)]
                    y = row[2 * (h * samples + s) + 1]
                    if boxed:
                        x = x / np.float32(points) * references[b, q, level, 2] * np.float32(0.5)
                        y = y / np.float32(points) * references[b, q, level, 3] * np.float32(0.5)
                    else:
                        x, y = x / np.float32(width), y / np.float32(height)
                    x = (references[b, q, level, 0] + x) * np.float32(width) - np.float32(0.5)
                    y = (references[b, q, level, 1] + y) * np.float32(height) - np.float32(0.5)
                    if not (x > -1 and y > -1 and x < width and y < height):
                        continue
                    left, top = floor(x), floor(y)
                    right_part, bottom_part = x - np.float32(left), y - np.float32(top)
                    weight = weights[s] / total
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
