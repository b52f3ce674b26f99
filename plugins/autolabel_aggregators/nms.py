"""Greedy non-maximum suppression."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field

from autolabel.strategies import Aggregator
from autolabel.types import Instances, Round
from autolabel.types.boxes import Float32, iou
from autolabel.types.neighbours import SMALLEST, Neighbours
from autolabel_aggregators.precedence import Index, precedence

_FEW = 500
"""Up to so many boxes it is quicker to compare them directly than to build a grid (``benchmarks/aggregation.py``)."""
_AT_ONCE = 32
"""How many of the best boxes are compared with all others at once, where there are few."""


class Nms(Aggregator):
    """Keep the best box, drop the boxes that overlap it, and repeat with the next best; kept boxes are not changed."""

    name = "nms"

    class Params(Aggregator.Params):
        """The overlap above which a box is dropped."""

        threshold: float = Field(
            default=0.7,
            ge=0,
            le=1,
            description="A box is dropped if its IoU with a better one is above this; 0: none is.",
        )
        across_labels: bool = Field(
            default=False, description="Whether a box can drop one of another label; else each label stands alone."
        )

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the boxes that no better kept box overlaps by more than the threshold, best first.

        Better: a higher score; of equals, the earlier round, then the earlier position. The limit is torchvision's: an
        IoU equal to the threshold does not drop a box. ``round.nms_threshold`` replaces the threshold; at 0 the input
        is returned unchanged.
        """
        threshold = self.params.threshold if round.nms_threshold is None else round.nms_threshold
        if threshold == 0 or not len(instances):
            return instances
        groups = None if self.params.across_labels else instances.labels
        if groups is not None and len(set(groups.tolist())) == len(groups):  # each stands alone
            return instances.take(precedence(instances))
        return instances.take(_suppress(instances.boxes, precedence(instances), threshold=threshold, groups=groups))


def _suppress(boxes: Float32, order: Index, *, threshold: float, groups: npt.NDArray[np.int32] | None = None) -> Index:
    """Return the indices of the (N, 4) boxes that are kept, in the given order of precedence.

    With ``groups`` (N,), a box suppresses only boxes of its own group. Memory is O(N); time is O(N log N) plus the
    overlaps of the kept boxes. Few boxes are compared all at once.
    """
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


def _suppress_few(boxes: Float32, order: Index, *, threshold: float, groups: npt.NDArray[np.int32] | None) -> Index:
    """Return what ``_suppress`` does; the next best boxes are compared with all that are left."""
    ranked = boxes[order].astype(np.float64)
    group = None if groups is None or (groups == groups[0]).all() else groups[order]
    kept, waiting = [order[:0]], np.arange(len(order))
    while len(waiting):
        best = waiting[:_AT_ONCE]
        spared = ~(iou(ranked[best], ranked[waiting]) > threshold)
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


def _runs(i: Index, j: Index) -> Iterator[tuple[int, Index]]:
    """Yield each first member with all its partners; pairs with equal ``i`` must be adjacent."""
    starts = np.flatnonzero(np.diff(i, prepend=-1))
    for start, end in pairwise([*starts, len(i)]):
        yield int(i[start]), j[start:end]
