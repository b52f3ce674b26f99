"""Find overlapping boxes without comparing all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autolabel.types.boxes import Boxes, Float64, iou, paired_iou

if TYPE_CHECKING:
    import numpy.typing as npt

Index: TypeAlias = "npt.NDArray[np.int64]"

FEW = 180
"""Up to so many boxes it is quicker to look at all of them than to build a grid (``benchmarks/aggregation.py``)."""
CANDIDATES = 1 << 17
"""The number of candidate pairs held at once (about 20 MB)."""
_QUERIES = 2048
"""For how many boxes neighbours are looked up at once."""
_LEVELS = 64
_FINEST = 1.25
_SLACK = 1 + 1e-9
SMALLEST = 1e-6
"""The lowest threshold that can be searched for."""
_NEAR = [(w, h) for w in (-1, 0, 1) for h in (-1, 0, 1)]


class Neighbours:
    """A search structure over N boxes for pairs with an intersection over union (IoU) of at least ``threshold``.

    Exact. Boxes are hashed by level of width, level of height and cell, since an IoU of at least t means that widths
    (heights) differ by a factor of 1/t at most, and that centres lie within ``(1-t)/(1+t)`` of the larger width and
    within ``(1-t)/2t`` of the smaller one. With levels a factor of 1/t apart, partners are in adjacent levels and
    adjacent cells. Time grows with N log N plus the overlaps, memory with N.
    """

    def __init__(self, boxes: Boxes, threshold: float, *, groups: npt.NDArray[Any] | None = None) -> None:
        """Index (N, 4) finite ``x1 y1 x2 y2`` boxes; with ``groups`` (N,) only boxes of one group are neighbours.

        Raises ValueError unless 1e-6 <= threshold <= 1.
        """
        if not SMALLEST <= threshold <= 1:
            raise ValueError(f"threshold must be from {SMALLEST} to 1, got {threshold}")
        self.threshold = threshold
        self.boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        groups = np.zeros(len(self.boxes), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
        self.groups = groups.astype(np.int64)
        self.grid = _Grid.of(self.boxes, self.groups, threshold) if len(self.boxes) > FEW else None
        self.order = np.arange(len(self.boxes)) if self.grid is None else self.grid.order
        self.sorted_boxes = self.boxes[self.order]

    def search(self, queries: Index) -> tuple[int, Index, Index, Float64]:
        """Find the neighbours of the first ``queries`` (indices of boxes), as many as memory allows, at least one.

        Returns (answered, i, j, iou): how many queries were answered, then for each neighbour j of an answered i the
        two indices and their IoU, i in the order of ``queries``. A box is not its own neighbour; one without area has
        none.
        """
        queries = queries[:_QUERIES]
        if self.grid is None:
            return len(queries), *self._compare_all(queries)
        low, high = self.grid.ranges(self.boxes[queries], self.groups[queries])
        totals = np.cumsum((high - low).sum(axis=1))
        answered = max(1, int(np.searchsorted(totals, CANDIDATES, side="right")))
        row, place = _expand(low[:answered], high[:answered])
        i = queries[row]
        other: npt.NDArray[np.bool_] = self.order[place] != i
        i, place = i[other], place[other]
        overlap = paired_iou(self.boxes[i], self.sorted_boxes[place])
        found = overlap >= self.threshold
        return answered, i[found], self.order[place[found]], overlap[found]

    def _compare_all(self, queries: Index) -> tuple[Index, Index, Float64]:
        overlap = iou(self.boxes[queries], self.boxes)
        overlap[self.groups[queries][:, None] != self.groups] = 0
        overlap[np.arange(len(queries)), queries] = 0
        row, j = np.nonzero(overlap >= self.threshold)
        return queries[row], j.astype(np.int64), overlap[row, j]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """One axis of a grid: levels of length, each with cells of its own size."""

    threshold: float
    origin: float
    extent: float
    cells: int
    """The most cells; a power of two."""
    ratio: float
    """By which factor lengths differ from level to level."""
    top_level: int

    @classmethod
    def of(cls, low: Float64, high: Float64, *, threshold: float, cells: int) -> _Axis:
        """Fit an axis to the sides of boxes, from ``low`` to ``high`` (N,)."""
        centres = (low + high) / 2
        ratio = max(1 / threshold, _FINEST) * _SLACK
        return cls(
            threshold=threshold,
            origin=float(centres.min()),
            extent=float(centres.max() - centres.min()),
            cells=cells,
            ratio=ratio,
            top_level=int(_raw_level(high - low, ratio).max()),
        )

    def level(self, lengths: Float64) -> Index:
        """Return the level of each length, 1 to LEVELS - 2; smaller lengths are in the lowest level."""
        return np.maximum(_raw_level(lengths, self.ratio) - self.top_level + _LEVELS - 2, 1)

    def top(self, level: Index) -> Float64:
        """Return the maximum length of boxes in ``level``."""
        return np.power(self.ratio, (level + self.top_level - _LEVELS + 3).astype(np.float64)) * _SLACK

    def cell(self, level: Index) -> Float64:
        """Return the size of a cell: no less than the reach of any box into ``level``, so that cells adjoin."""
        t = self.threshold
        reach = min((1 - t) / (1 + t) * self.ratio, (1 - t) / (2 * t)) * self.top(level)
        return np.maximum(reach * (1 + 1e-6), max(self.extent, 1.0) / (self.cells - 4))

    def place(self, centres: Float64, level: Index) -> Index:
        """Return the cell of each centre, counted from 1."""
        return np.floor((centres - self.origin) / self.cell(level)).astype(np.int64) + 1

    def span(self, centres: Float64, lengths: Float64, level: Index) -> tuple[Index, Index]:
        """Return the first and last cell of ``level`` that can hold a partner of each box."""
        t, top = self.threshold, self.top(level)
        larger = np.minimum(lengths / t, np.maximum(lengths, top))
        reach = np.minimum((1 - t) / (1 + t) * larger, (1 - t) / (2 * t) * np.minimum(lengths, top)) * _SLACK
        return self.place(centres - reach, level), self.place(centres + reach, level)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Boxes sorted by one integer: group, level of width, level of height, row, column."""

    x: _Axis
    y: _Axis
    keys: Index
    order: Index

    @classmethod
    def of(cls, boxes: Float64, groups: Index, threshold: float) -> _Grid:
        """Sort (N, 4) boxes into a grid; the more groups, the fewer bits are left for cells."""
        bits = min(20, (62 - 12 - int(groups.max()).bit_length()) // 2)
        x = _Axis.of(boxes[:, 0], boxes[:, 2], threshold=threshold, cells=1 << bits)
        y = _Axis.of(boxes[:, 1], boxes[:, 3], threshold=threshold, cells=1 << bits)
        grid = cls(x=x, y=y, keys=groups, order=groups)
        centres, lengths = _centred(boxes)
        wide, high = x.level(lengths[0]), y.level(lengths[1])
        keys = grid.key(groups, wide, high, y.place(centres[1], high), x.place(centres[0], wide))
        order = np.argsort(keys, kind="stable").astype(np.int64)
        return cls(x=x, y=y, keys=keys[order], order=order)

    def key(self, groups: Index, wide: Index, high: Index, row: Index, column: Index) -> Index:
        """Pack the five numbers into one, the group first."""
        return (((groups * _LEVELS + wide) * _LEVELS + high) * self.y.cells + row) * self.x.cells + column

    def ranges(self, boxes: Float64, groups: Index) -> tuple[Index, Index]:
        """Return the ranges in ``order`` of possible partners of each of Q boxes: starts and ends, each (Q, 27)."""
        centres, lengths = _centred(boxes)
        wide, high = self.x.level(lengths[0]), self.y.level(lengths[1])
        columns = {d: self.x.span(centres[0], lengths[0], wide + d) for d in (-1, 0, 1)}
        rows = {d: self.y.span(centres[1], lengths[1], high + d) for d in (-1, 0, 1)}
        starts, ends = [], []
        for dw, dh in _NEAR:
            for step in range(3):
                row = rows[dh][0] + step
                first = self.key(groups, wide + dw, high + dh, row, columns[dw][0])
                last = first + (columns[dw][1] - columns[dw][0])
                last = np.where(row <= rows[dh][1], last, first - 1)
                starts.append(np.searchsorted(self.keys, first))
                ends.append(np.searchsorted(self.keys, last, side="right"))
        return np.stack(starts, axis=1), np.maximum(np.stack(ends, axis=1), np.stack(starts, axis=1))


def _raw_level(lengths: Float64, ratio: float) -> Index:
    """Return the whole part of each length's logarithm to the base ``ratio``."""
    positive = np.maximum(lengths, np.finfo(np.float64).tiny)
    level: Index = np.floor(np.log(positive) / np.log(ratio)).astype(np.int64)
    return level


def _centred(boxes: Float64) -> tuple[tuple[Float64, Float64], tuple[Float64, Float64]]:
    """Return the centres and the lengths of (N, 4) boxes, each as an x and a y column."""
    x1, y1, x2, y2 = boxes.T
    return ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1)


def _expand(low: Index, high: Index) -> tuple[Index, Index]:
    """List every integer of the ranges ``low`` to ``high`` (Q, K): the row of its range, and the integer."""
    counts = (high - low).ravel()
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    place = np.arange(total) + np.repeat(low.ravel() - (ends - counts), counts)
    return np.repeat(np.arange(len(low)), counts.reshape(low.shape).sum(axis=1)), place


def overlaps(boxes: Boxes, threshold: float, *, groups: npt.NDArray[Any] | None = None) -> tuple[Index, Index, Float64]:
    """Return every pair i < j of (N, 4) boxes with an IoU of at least ``threshold``, sorted, as (i, j, iou).

    With ``groups`` (N,) only pairs of one group. Exact, near-linear in time; memory grows with N plus the pairs
    found. Raises ValueError unless 1e-6 <= threshold <= 1. No boxes: no pairs.
    """
    near = Neighbours(boxes, threshold, groups=groups)
    waiting = near.order
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    while len(waiting):
        answered, i, j, ratio = near.search(waiting)
        once = i < j
        parts.append((i[once], j[once], ratio[once]))
        waiting = waiting[answered:]
    i, j, ratio = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], ratio[order]
