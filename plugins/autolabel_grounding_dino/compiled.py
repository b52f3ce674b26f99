"""The inner loop of multi-scale deformable attention, compiled by numba for values in float32 or in bfloat16."""

from __future__ import annotations

from functools import cache
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

    For each head a few loops without a branch, which become vector instructions, make weights, places, and the four
    neighbours of all points with their factors; the last one adds the neighbours up. Each array is one of its own,
    because a compiler gives up on loops whose arrays could overlap in too many ways.
    """
    tokens, heads, channels = value.shape[1:]
    levels, samples = shapes.shape[0], drawn.shape[2] // (3 * heads)
    points, step, boxed = samples // levels, heads * channels, references.shape[3] == 4
    zero, half, one, count = np.float32(0), np.float32(0.5), np.float32(1), np.float32(points)
    weights, x, y = np.empty(samples, np.float32), np.empty(samples, np.float32), np.empty(samples, np.float32)
    broad, tall, origins = np.empty(samples, np.float32), np.empty(samples, np.float32), np.empty(samples, np.int64)
    centre_x, centre_y = np.empty(samples, np.float32), np.empty(samples, np.float32)
    side_x, side_y = np.empty(samples, np.float32), np.empty(samples, np.float32)
    factor_a, factor_b = np.empty(samples, np.float32), np.empty(samples, np.float32)
    factor_c, factor_d = np.empty(samples, np.float32), np.empty(samples, np.float32)
    cell_a, cell_b = np.empty(samples, np.uint64), np.empty(samples, np.uint64)
    cell_c, cell_d = np.empty(samples, np.uint64), np.empty(samples, np.uint64)
    numbers = value.reshape(value.size)
    for b in range(value.shape[0]):
        for s in range(samples):
            level = s // points
            broad[s], tall[s] = np.float32(shapes[level, 1]), np.float32(shapes[level, 0])
            origins[s] = (b * tokens + starts[level]) * step
        for q in range(first, last):
            for s in range(samples):
                level = s // points
                centre_x[s], centre_y[s] = references[b, q, level, 0], references[b, q, level, 1]
                if boxed:
                    side_x[s], side_y[s] = references[b, q, level, 2], references[b, q, level, 3]
            for h in range(heads):
                offsets = drawn[b, q, 2 * h * samples : 2 * (h + 1) * samples]
                logits = drawn[b, q, (2 * heads + h) * samples : (2 * heads + h + 1) * samples]
                most = logits[0]
                for s in range(1, samples):
                    most = max(most, logits[s])
                for s in range(samples):
                    weights[s] = _exp(logits[s] - most)
                total = zero
                for s in range(samples):
                    total += weights[s]
                if boxed:
                    for s in range(samples):
                        x[s] = (centre_x[s] + offsets[2 * s] / count * side_x[s] * half) * broad[s] - half
                        y[s] = (centre_y[s] + offsets[2 * s + 1] / count * side_y[s] * half) * tall[s] - half
                else:
                    for s in range(samples):
                        x[s] = (centre_x[s] + offsets[2 * s] / broad[s]) * broad[s] - half
                        y[s] = (centre_y[s] + offsets[2 * s + 1] / tall[s]) * tall[s] - half
                for s in range(samples):
                    inside = (x[s] > -one) & (y[s] > -one) & (x[s] < broad[s]) & (y[s] < tall[s])  # false if no number
                    across, down = x[s] if inside else -one, y[s] if inside else -one
                    left, top, weight = np.floor(across), np.floor(down), weights[s] / total
                    right_part, bottom_part = across - left, down - top
                    left_part = one - right_part if left >= zero else zero
                    top_part = one - bottom_part if top >= zero else zero
                    right_part = right_part if left + one < broad[s] else zero
                    bottom_part = bottom_part if top + one < tall[s] else zero
                    factor_a[s], factor_b[s] = weight * top_part * left_part, weight * top_part * right_part
                    factor_c[s], factor_d[s] = weight * bottom_part * left_part, weight * bottom_part * right_part
                    x[s], y[s] = left, top
                for s in range(samples):
                    column: Any = np.int64(x[s])
                    row: Any = np.int64(y[s])
                    width, height = np.int64(broad[s]), np.int64(tall[s])
                    upper, lower = max(row, 0) * width, min(row + 1, height - 1) * width
                    near, far, origin = max(column, 0), min(column + 1, width - 1), origins[s] + h * channels
                    cell_a[s], cell_b[s] = origin + (upper + near) * step, origin + (upper + far) * step
                    cell_c[s], cell_d[s] = origin + (lower + near) * step, origin + (lower + far) * step
                target = result[b, q, h]
                for s in range(samples):
                    at_a, at_b, at_c, at_d = cell_a[s], cell_b[s], cell_c[s], cell_d[s]
                    of_a, of_b, of_c, of_d = factor_a[s], factor_b[s], factor_c[s], factor_d[s]
                    for n in range(channels):
                        at = np.uint64(n)
                        upper_two = of_a * _wide(numbers[at_a + at]) + of_b * _wide(numbers[at_b + at])
                        lower_two = of_c * _wide(numbers[at_c + at]) + of_d * _wide(numbers[at_d + at])
                        target[n] += upper_two + lower_two


def _exp(number: Any) -> Any:
    """Return e to the power of a float32 that is not positive, within 1e-7; in compiled code alone."""
    raise NotImplementedError


def _exponential(number: Any) -> Any:
    """Return what numba compiles for ``_exp``: Cephes' polynomial, which becomes vector instructions, unlike a call.

    What is below -87 counts as -87.
    """
    low, half, one = np.float32(-87), np.float32(0.5), np.float32(1)
    turns, high, rest = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
    p, q, r = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
    s, t, u = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)

    def work(number: Any) -> Any:
        number = low if number < low else number
        power = np.floor(number * turns + half)
        left = number - power * high - power * rest
        polynomial = ((((p * left + q) * left + r) * left + s) * left + t) * left + u
        scale = np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)
        return (polynomial * left * left + left + one) * scale

    return work


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
    """Tell numba, an optional package, what the functions are that the loop calls."""
    from numba.extending import overload

    overload(_wide, inline="always", strict=False)(_widening)
    overload(_exp, inline="always", strict=False)(_exponential)
