"""Turn the network's map into a mask's RLE text in one loop over pixels, compiled by numba, for the CPU."""

from __future__ import annotations

from math import exp, inf
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.kernels import compiled
from autolabel.types import Rle, Size
from autolabel_mal.crop import CropRegion
from autolabel_mal.mean_field import log_odds

_CLOSE = 1e-4
"""Logits nearer than this to the threshold's are not judged before their probabilities are mixed."""
_PRECISION = 22
"""Bits after the point of Pillow's weights."""


def encode_mask_compiled(
    logits: npt.NDArray[np.float32], at: CropRegion, size: Size, *, side: int, threshold: float
) -> Rle:
    """Return the mask that a map (grid, grid) gives the crop ``at`` of an image of ``size`` (height, width).

    Equal to ``paste``'s mask except for pixels within rounding of the threshold.
    """
    inner, outer = _logit(max(threshold, 1e-6)) + _CLOSE, _logit(min(threshold, 1 - 1e-6)) - _CLOSE
    text = _encode(
        np.ascontiguousarray(logits),
        np.array([(at.top, at.height, *at.rows, size[0]), (at.left, at.width, *at.columns, size[1])]),
        side,
        np.array([threshold, inner, outer], np.float32),
    )
    return Rle(size, text.tobytes().decode("ascii"))


def _logit(probability: float) -> float:
    return log_odds(probability) if 0 < probability < 1 else inf if probability else -inf


@compiled("UniTuple(int64, 2)(int64, int64, int64, int64)")
def lit(first: int, last: int, length: int, side: int) -> tuple[int, int]:
    """Return the half-open range of places along a side that are 1 in the box's resized profile.

    ``crop.box_profiles`` uses Pillow to resize a line of ``length`` that is 1 in ``first:last``. Here the same bicubic
    weights are summed, in Pillow's order and with its rounding, only where they matter.
    """
    scale = length / side
    wide = max(scale, 1.0)
    weights = np.empty(int(4 * wide) + 3)
    begin, end = side, 0
    for place in range(side):
        centre = (place + 0.5) * scale
        start, stop = max(0, int(centre - 2 * wide + 0.5)), min(length, int(centre + 2 * wide + 0.5))
        if stop <= first or start >= last:
            continue
        if start < first or stop > last:
            total = 0.0
            for x in range(start, stop):
                away = abs((x - centre + 0.5) * (1.0 / wide))
                weight = 0.0
                if away < 1:
                    weight = (1.5 * away - 2.5) * away * away + 1
                elif away < 2:
                    weight = (((away - 5) * away + 8) * away - 4) * -0.5
                weights[x - start] = weight
                total += weight
            summed = 1 << (_PRECISION - 1)
            for x in range(max(start, first), min(stop, last)):
                weight = weights[x - start] / total * (1 << _PRECISION)
                summed += int(weight + (0.5 if weight >= 0 else -0.5))
            if summed < 1 << _PRECISION:
                continue
        begin, end = min(begin, place), place + 1
    return begin, end


_STEPS = "Tuple((uint32[::1], float32[::1]))"


@compiled(f"{_STEPS}(int64, int64, int64, int64)")
def _steps(start: int, stop: int, length: int, source: int) -> Any:
    """Return where the places ``start`` to ``stop`` of a line of ``length`` lie among ``source`` values.

    Like torch's bilinear interpolation: the index of the value before each place, and the weight of the next one. The
    last value is repeated.
    """
    lower, shares = np.empty(max(0, stop - start), np.uint32), np.empty(max(0, stop - start), np.float32)
    scale = np.float32(source) / np.float32(length)
    for index in range(len(lower)):
        at = max((np.float32(start + index) + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0))
        lower[index] = min(int(at), source - 1)
        shares[index] = at - np.float32(lower[index])
    return lower, shares


@compiled("UniTuple(int64, 2)(uint32[::1], int64, int64, int64)")
def _touching(lower: Any, begin: int, end: int, side: int) -> tuple[int, int]:
    """Return the first pixel and the one after the last that lie at places from ``begin`` to before ``end``."""
    start, stop = 0, len(lower)
    while start < stop and min(lower[start] + 1, side - 1) < begin:
        start += 1
    while stop > start and lower[stop - 1] >= end:
        stop -= 1
    return start, stop


@compiled("float32[:,::1](float32[:,::1], uint32[::1], float32[::1])")
def _stretched(logits: Any, lower: Any, shares: Any) -> Any:
    """Return the map (grid, places + 1), column-major, resized to the needed rows; the last row is repeated."""
    grid = len(logits)
    result = np.empty((grid, len(lower) + 1), np.float32)
    for s in range(len(lower)):
        above, below, share = logits[lower[s]], logits[min(lower[s] + 1, grid - 1)], shares[s]
        for g in range(grid):
            result[g, s] = above[g] + share * (below[g] - above[g])
    result[:, -1] = result[:, -2]
    return result


@compiled("void(float32[:,::1], int64, float32, int64, int64, float32[::1])")
def _column(stretched: Any, place: int, share: Any, begin: int, end: int, result: Any) -> None:
    """Fill in one column of the crop; -inf, for a probability of 0, before the row ``begin`` and from ``end`` on."""
    left, right = stretched[place], stretched[min(place + 1, len(stretched) - 1)]
    for s in range(len(result)):
        result[s] = left[s] + share * (right[s] - left[s])
    result[: max(0, begin)] = -inf
    result[max(0, end) :] = -inf


@compiled("float32(float32)")
def _sigmoid(logit: Any) -> Any:
    return np.float32(1) / (np.float32(1) + np.float32(exp(-logit)))


@compiled("uint8[::1](int64[::1], int64, int64)")
def _text(edges: Any, count: int, total: int) -> Any:
    """Return COCO's text of runs that end at ``edges`` and at ``total``."""
    if not count or edges[count - 1] != total:
        edges[count] = total
        count += 1
    text, length = np.empty(7 * count, np.uint8), 0
    for index in range(count):
        run = edges[index] - (edges[index - 1] if index else 0)
        if index > 2:
            run -= edges[index - 2] - edges[index - 3]
        more = True
        while more:
            low = run & 31
            run >>= 5
            more = run != (-1 if low & 16 else 0)
            text[length] = low + (32 if more else 0) + 48
            length += 1
    return text[:length]


@compiled("uint8[::1](float32[:,::1], int64[:,::1], int64, float32[::1])")
def _encode(logits: Any, sides: Any, side: int, limits: Any) -> Any:
    """Return COCO's text of a mask.

    ``logits`` are (grid, grid). ``sides`` has, of rows and of columns, the crop's first pixel, its length, the box's
    first pixel in it and the one after its last, and the image's length. ``limits`` are the threshold, and the logits
    above and below which a pixel's neighbours all agree.
    """
    top, height, tall, left, width, broad = sides[0, 0], sides[0, 1], sides[0, 4], sides[1, 0], sides[1, 1], sides[1, 4]
    row_begin, row_end = lit(sides[0, 2], sides[0, 3], height, side)
    column_begin, column_end = lit(sides[1, 2], sides[1, 3], width, side)
    first_row, first_column = max(0, -top), max(0, -left)
    rows, down = _steps(first_row, min(height, tall - top), height, side)
    columns, across = _steps(first_column, min(width, broad - left), width, side)
    start, stop = _touching(rows, row_begin, row_end, side)
    begin, end = _touching(columns, column_begin, column_end, side)
    edges, count = np.empty((stop - start + 1) * (end - begin) + 1, np.int64), 0
    if start == stop or begin == end:
        return _text(edges, 0, tall * broad)
    origin, grid = rows[start], len(logits)
    rows, down = rows[start:stop] - origin, down[start:stop]
    row_map, row_shares = _steps(origin, min(rows[-1] + origin + 2, side), side, grid)
    column_map, column_shares = _steps(0, side, side, grid)
    stretched, places = _stretched(logits, row_map, row_shares), len(row_map)
    near, far = np.empty(places + 1, np.float32), np.empty(places + 1, np.float32)
    most, least, verdicts = np.empty(places, np.float32), np.empty(places, np.float32), np.empty(len(rows), np.uint8)
    in_near, in_far, inside, base = -1, -1, False, 0
    for column in range(begin, end):
        low, high = int(columns[column]), min(int(columns[column]) + 1, side - 1)
        if low == in_far:
            near, far, in_near, in_far = far, near, low, -1
        if low != in_near:
            bright = row_end - origin if column_begin <= low < column_end else 0
            _column(stretched, column_map[low], column_shares[low], row_begin - origin, bright, near)
        if high != in_far:
            bright = row_end - origin if column_begin <= high < column_end else 0
            _column(stretched, column_map[high], column_shares[high], row_begin - origin, bright, far)
        in_near, in_far = low, high
        for s in range(places):
            most[s] = max(max(near[s], near[s + 1]), max(far[s], far[s + 1]))
            least[s] = min(min(near[s], near[s + 1]), min(far[s], far[s + 1]))
        for row in range(len(rows)):
            verdicts[row] = 0 if most[rows[row]] < limits[2] else 1 if least[rows[row]] > limits[1] else 2
        base = (left + first_column + column) * tall + top + first_row + start
        for row in range(len(rows)):
            now = verdicts[row] == 1
            if verdicts[row] == 2:
                s = rows[row]
                a, b, c, d = _sigmoid(near[s]), _sigmoid(near[s + 1]), _sigmoid(far[s]), _sigmoid(far[s + 1])
                upper, lower = a + across[column] * (c - a), b + across[column] * (d - b)
                now = upper + down[row] * (lower - upper) > limits[0]
            if now != inside:
                edges[count] = base + row
                count, inside = count + 1, now
        if inside and len(rows) < tall:  # a run that reaches the image's last row continues in the next column
            edges[count] = base + len(rows)
            count, inside = count + 1, False
    if inside:
        edges[count] = base + len(rows)
        count += 1
    return _text(edges, count, tall * broad)
