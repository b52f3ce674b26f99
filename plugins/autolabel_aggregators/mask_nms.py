"""Greedy non-maximum suppression by the overlap of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from autolabel.strategies import Aggregator
from autolabel.types import Instances, Rle, Round
from autolabel.types.boxes import Float64, iou
from autolabel_aggregators.precedence import Index, precedence

if TYPE_CHECKING:
    import numpy.typing as npt

_Masks = tuple[Rle | None, ...]


class MaskNms(Aggregator):
    """Keep the best object, drop those whose masks overlap its mask, and so on; for detectors that give masks.

    If one of two objects has no mask, their boxes are compared instead.
    """

    name = "mask_nms"

    class Params(Aggregator.Params):
        """The overlap above which a box is dropped."""

        threshold: float = Field(
            default=0.5,
            ge=0,
            le=1,
            description="An object is dropped if its IoU with a better one is above this; 0: none is.",
        )
        across_labels: bool = Field(
            default=False,
            description="Whether an object can drop one of another label; otherwise labels are processed separately.",
        )

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the objects that no better kept object overlaps by more than the threshold, best first.

        Better: a higher score; of equals, the earlier round, then the earlier position. ``round.nms_threshold``
        replaces the threshold; at 0 the input is returned unchanged.
        """
        threshold = self.params.threshold if round.nms_threshold is None else round.nms_threshold
        if threshold == 0 or not len(instances):
            return instances
        ordered = instances.take(precedence(instances))
        groups = np.zeros(len(ordered), np.int32) if self.params.across_labels else ordered.labels
        return ordered.take(_suppress(ordered, groups, threshold))


def _suppress(ordered: Instances, groups: npt.NDArray[np.int32], threshold: float) -> npt.NDArray[np.bool_]:
    """Return which of N objects, best first, are kept; an object suppresses only its own group."""
    shapes = _MasksOrBoxes(ordered)
    kept = np.ones(len(ordered), np.bool_)
    for best in range(len(ordered)):
        if kept[best]:
            worse = best + 1 + np.flatnonzero(kept[best + 1 :] & (groups[best + 1 :] == groups[best]))
            kept[worse[shapes.overlap(worse, best) > threshold]] = False
    return kept


class _MasksOrBoxes:
    """The masks of N objects, with boxes for objects without a mask."""

    def __init__(self, instances: Instances) -> None:
        masks: _Masks = instances.masks or (None,) * len(instances)
        self.boxes = instances.boxes
        self.masked = np.array([mask is not None for mask in masks], np.bool_)
        self.codes = [mask.as_coco() if mask is not None else None for mask in masks]
        self.bounds = np.array([mask.bounds() if mask is not None else (0, 0, 0, 0) for mask in masks])

    def overlap(self, others: Index, one: int) -> Float64:
        """Return the IoU (M,) of M other objects with one."""
        ratio = np.zeros(len(others))
        both = self.masked[others] & self.masked[one]
        ratio[~both] = iou(self.boxes[others[~both]], self.boxes[one : one + 1])[:, 0]
        low = np.maximum(self.bounds[others, :2], self.bounds[one, :2])
        high = np.minimum(self.bounds[others, 2:], self.bounds[one, 2:])
        near = np.flatnonzero(both & (low < high).all(axis=1))
        if len(near):
            from pycocotools import mask as coco

            ratio[near] = coco.iou([self.codes[i] for i in others[near]], [self.codes[one]], [0])[:, 0]
        return ratio
