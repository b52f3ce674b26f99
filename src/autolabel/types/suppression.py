"""Which boxes greedy non-maximum suppression keeps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from autolabel.types.boxes import columns, columns_iou
from autolabel.types.neighbours import SMALLEST, Neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

_FEW = 500
"""Up to so many boxes it is quicker to compare them directly than to build a grid (``benchmarks/aggregation.py``)."""
_AT_ONCE = 32
"""How many of the best boxes are compared with all others at once, where there are few."""
_Index: TypeAlias = "npt.NDArray[np.int64]"


def suppress(
    boxes: npt.NDArray[np.floating], order: _Index, *, threshold: float, groups: npt.NDArray[np.int32] | None = None
) -> _Index:
    """Return the indices of the (N, 4) boxes that are kept, in the given order of precedence.

    A kept box drops later ones whose IoU with it is above ``threshold``; as in torchvision, an equal one does not. With
    ``groups`` (N,), a box suppresses only boxes of its own group. Memory is O(N); time is O(N log N) plus the overlaps
    of the kept boxes. Few boxes are compared all at once.
    """
    if groups is not None and (groups == groups[:1]).all():
        groups = None
    elif groups is not None and len(set(groups.tolist())) == len(groups):  # each box is a group of its own
        return order
    if len(boxes) <= _FEW and threshold >= SMALLEST:
        return _suppress_few(boxes, order, threshold=threshold, groups=groups)
    near = Neighbours(boxes, max(threshold, SMALLEST), groups=groups)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    kept = np.ones(len(order), np.bool_)
    waiting = order
    while len(waiting):
        answered, i, j, iou = near.search(waiting)
        worse = (iou > threshold) & (rank[j] > rank[i])
        for best, dropped in _runs(i[worse], j[worse]):
            if kept[best]:
                kept[dropped] = False
        waiting = waiting[answered:]
        waiting = waiting[kept[waiting]]
    return order[kept[order]]


def _suppress_few(
    boxes: npt.NDArray[np.floating], order: _Index, *, threshold: float, groups: npt.NDArray[np.int32] | None
) -> _Index:
    """Return what ``suppress`` does; the next best boxes are compared with all that are left."""
    ranked = columns(boxes[order])
    group = None if groups is None else groups[order]
    kept, waiting = [order[:0]], np.arange(len(order))
    while len(waiting):
        best = waiting[:_AT_ONCE]
        left_over = ranked.take(waiting, axis=1)
        spared = ~(columns_iou(left_over[:, : len(best), None], left_over[:, None]) > threshold)
        if group is not None:
            spared |= group[best][:, None] != group[waiting]
        left = np.ones(len(waiting), np.bool_)
        for place, others in enumerate(spared):
            if left[place]:
                left &= others
                left[place] = True  # a box does not drop itself
        kept.append(order[best[left[: len(best)]]])
        waiting = waiting[len(best) :][left[len(best) :]]
    return np.concatenate(kept)


def _runs(i: _Index, j: _Index) -> Iterator[tuple[int, _Index]]:
    """Yield each first member with all its partners; pairs with equal ``i`` must be adjacent."""
    starts = np.flatnonzero(np.diff(i, prepend=-1))
    for start, end in pairwise([*starts, len(i)]):
        yield int(i[start]), j[start:end]
