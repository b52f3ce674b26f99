"""The outline of a mask as a short SVG path."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autolabel.types import Rle
from autolabel.types.polygons import rings
from autolabel.types.runs import expand

_Bool = npt.NDArray[np.bool_]
_Int64 = npt.NDArray[np.int64]
_Points = npt.NDArray[np.float64]

_CELLS = 64
"""Cells along the longer side of the mask; up to so many pixels, a cell is a pixel."""
_LOOPS = 32
"""The most borders, of parts and holes together, that are drawn: the longest ones."""
_TOLERANCE = 0.6
"""The farthest, in cells, that the outline may be from the middles of the cells' sides."""


def path_outline(mask: Rle) -> str:
    """Return the ``d`` of a path in pixels of the image, to be filled by the even-odd rule; empty for an empty mask.

    Runs are sampled without decoding, so the cost depends on the outline, not on the image.
    """
    runs = expand(mask.counts)
    bounds = bounds_of(runs, mask.size[0])
    if bounds is None:
        return ""
    left, top, right, bottom = bounds
    step = max(1, -(-max(right - left, bottom - top) // _CELLS))
    columns, rows = _centres(left, right, step), _centres(top, bottom, step)
    inside = _sampled(runs, mask.size[0], columns, rows)
    largest = sorted(loops(inside), key=len, reverse=True)[:_LOOPS]
    return "".join(_path(_simplified(_middles(loop)) * step + (left, top)) for loop in largest)


def bounds_of(runs: _Int64, height: int) -> tuple[int, int, int, int] | None:
    """Return ``x1 y1 x2 y2`` about the pixels inside, half-open; None if there are none."""
    ends = np.cumsum(runs)
    first, last = ends[:-1:2], ends[1::2]
    first, last = first[last > first], last[last > first] - 1
    if not len(first):
        return None
    wraps = bool((first // height != last // height).any())
    top, bottom = (0, height) if wraps else (int((first % height).min()), int((last % height).max()) + 1)
    return int(first[0] // height), top, int(last[-1] // height) + 1, bottom


def _centres(start: int, end: int, step: int) -> _Int64:
    """Return the pixel in the middle of each cell of ``step`` pixels, in one direction."""
    return np.minimum(np.arange(start, end, step) + step // 2, end - 1)


def _sampled(runs: _Int64, height: int, columns: _Int64, rows: _Int64) -> _Bool:
    """Return whether the pixels at (rows, columns) are inside."""
    places = columns[None, :] * height + rows[:, None]
    inside: _Bool = np.searchsorted(np.cumsum(runs), places, side="right") % 2 == 1
    return inside


def loops(inside: _Bool) -> list[_Points]:
    """Return the closed borders of an (H, W) grid as (N, 2) corners ``x y``, one for every side of a cell on them."""
    return [_stepped(ring).astype(np.float64) for ring in rings(inside)]


def _stepped(ring: _Int64) -> _Int64:
    """Return a closed ring of straight edges with all the corners that lie on these, one unit apart."""
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(edges).sum(axis=1)
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    corners: _Int64 = np.repeat(ring, lengths, axis=0) + np.repeat(np.sign(edges), lengths, axis=0) * steps[:, None]
    return corners


def _middles(loop: _Points) -> _Points:
    """Return the midpoints of a closed loop's sides; those of a staircase lie on a line."""
    return (loop + np.roll(loop, -1, axis=0)) / 2


def _simplified(loop: _Points) -> _Points:
    """Drop corners of a closed (N, 2) loop within TOLERANCE (Douglas and Peucker, 1973)."""
    far = int(np.argmax(np.abs(loop - loop[0]).sum(axis=1)))
    keep = np.zeros(len(loop) + 1, bool)
    keep[[0, far]] = True
    closed = np.concatenate([loop, loop[:1]])
    pending = [(0, far), (far, len(loop))]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        away = _distances(closed[first + 1 : last], closed[first], closed[last])
        farthest = int(np.argmax(away))
        if away[farthest] > _TOLERANCE:
            middle = first + 1 + farthest
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return loop[keep[:-1]] if keep[:-1].sum() > 2 else loop


def _distances(points: _Points, start: _Points, end: _Points) -> _Points:
    """Return the distances of (N, 2) points from the line through two others, or from their common place."""
    along = end - start
    length = float(np.hypot(*along))
    offset = points - start
    if length == 0:
        return np.hypot(offset[:, 0], offset[:, 1])
    away: _Points = np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) / length
    return away


def _path(loop: _Points) -> str:
    """Write a closed loop of whole and half numbers, each corner relative to the last."""
    moves = np.diff(loop, axis=0).tolist()
    return f"M{loop[0][0]:g} {loop[0][1]:g}l" + " ".join(f"{dx:g} {dy:g}" for dx, dy in moves) + "z"
