"""The inner loop of multi-scale deformable attention, compiled by numba for values in float32 or in bfloat16."""

from __future__ import annotations

from functools import cache
from math import exp
from typing import Any

import numpy as np

from autolabel.kernels import compiled

_SIGNATURE = (
    "void({}[:,:,:,::1], int64[:,::1], int64[::1], float32[:,:,:,::1], float32[:,:,::1],"
    " float32[:,:,:,::1], int64, int64)"
)


@cache
def attend(kind: str) -> Any:
    """Return the loop for values of ``float32``, or of ``uint16``: the bits of bfloat16."""
    _teach()
    return compiled(_SIGNATURE.format(kind), fastmath={"contract"})(_attend)


def _attend(
    value: Any, shapes: Any, starts: Any, references: Any, drawn: Any, result: Any, first: int, last: int
) -> None:
    """Add weighted bilinear samples of ``value`` (batch, tokens, heads, channels) to ``result`` for some queries.

    ``drawn`` (batch, queries, heads * levels * points * 3) is what the query's projections give: first all offsets,
    x and y of each point, then the logits of their weights, which are made to sum to one for each head. Offsets
    count from ``references`` (batch, queries, levels, 2 or 4): in cells of a level from points x, y in 0..1, or in
    halves of the sides from the centres of boxes x, y, width, height. ``result`` is zeros of (batch, queries, heads,
    channels), of which the queries from ``first`` to before ``last`` are filled; what lies outside a map counts as
    zero. Places are computed in transformers' order, so that they are rounded alike.

    For each head the four neighbours of all points are listed first, with their factors; then one loop without a
    branch adds them up.
    """
    tokens, heads, channels = value.shape[1:]
    levels = shapes.shape[0]
    samples = drawn.shape[2] // (3 * heads)
    points = samples // levels
    boxed = references.shape[3] == 4
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    weights, factors = np.empty(samples, np.float32), np.empty((4, samples), np.float32)
    cells, numbers = np.empty((4, samples), np.uint64), value.reshape(value.size)
    for b in range(value.shape[0]):
        for q in range(first, last):
            row = drawn[b, q]
            for h in range(heads):
                logits = (2 * heads + h) * samples
                most = row[logits]
                for s in range(1, samples):
                    most = max(most, row[logits + s])
                total = zero
                for s in range(samples):
                    weights[s] = exp(row[logits + s] - most)
                    total += weights[s]
                for level in range(levels):
                    height, width = np.float32(shapes[level, 0]), np.float32(shapes[level, 1])
                    tall, broad = np.int64(shapes[level, 0]), np.int64(shapes[level, 1])
                    origin = (b * tokens + starts[level]) * heads + h
                    centre_x, centre_y = references[b, q, level, 0], references[b, q, level, 1]
                    for s in range(level * points, (level + 1) * points):
                        x, y = row[2 * (h * samples + s)], row[2 * (h * samples + s) + 1]
                        if boxed:
                            x = x / np.float32(points) * references[b, q, level, 2] * half
                            y = y / np.float32(points) * references[b, q, level, 3] * half
                        else:
                            x, y = x / width, y / height
                        x = (centre_x + x) * width - half
                        y = (centre_y + y) * height - half
                        if not (x > -1 and y > -1 and x < width and y < height):  # outside, or no number
                            x, y = -one, -one
                        left: Any = np.int64(np.floor(x))
                        top: Any = np.int64(np.floor(y))
                        right_part, bottom_part = x - np.float32(left), y - np.float32(top)
                        left_part = one - right_part if left >= 0 else zero
                        top_part = one - bottom_part if top >= 0 else zero
                        right_part = right_part if left + 1 < broad else zero
                        bottom_part = bottom_part if top + 1 < tall else zero
                        weight = weights[s] / total
                        factors[0, s], factors[1, s] = weight * top_part * left_part, weight * top_part * right_part
                        factors[2, s], factors[3, s] = (
                            weight * bottom_part * left_part,
                            weight * bottom_part * right_part,
                        )
                        upper, lower = max(top, 0) * broad, min(top + 1, tall - 1) * broad
                        left, right = max(left, 0), min(left + 1, broad - 1)
                        cells[0, s] = (origin + (upper + left) * heads) * channels
                        cells[1, s] = (origin + (upper + right) * heads) * channels
                        cells[2, s] = (origin + (lower + left) * heads) * channels
                        cells[3, s] = (origin + (lower + right) * heads) * channels
                target = result[b, q, h]
                for s in range(samples):
                    a, b_, c, d = cells[0, s], cells[1, s], cells[2, s], cells[3, s]
                    for n in range(channels):
                        at = np.uint64(n)
                        target[n] += (
                            factors[0, s] * _wide(numbers[a + at])
                            + factors[1, s] * _wide(numbers[b_ + at])
                            + factors[2, s] * _wide(numbers[c + at])
                            + factors[3, s] * _wide(numbers[d + at])
                        )


def _wide(number: Any) -> Any:
    """Return a number of ``value`` as float32; in compiled code alone."""
    raise NotImplementedError


def _widening(number: Any) -> Any:
    """Return what numba compiles for ``_wide``, by the type of the number."""
    if str(number) == "uint16":
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: number


@cache
def _teach() -> None:
    """Tell numba, an optional package, what ``_wide`` is."""
    from numba.extending import overload

    overload(_wide, inline="always", strict=False)(_widening)
