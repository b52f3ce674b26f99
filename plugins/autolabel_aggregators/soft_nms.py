"""Soft non-maximum suppression: an overlapping box loses score instead of being dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from autolabel.strategies import Aggregator
from autolabel.types import Instances, Round
from autolabel.types.boxes import Boxes, Float64, iou
from autolabel_aggregators.precedence import precedence


class SoftNms(Aggregator):
    """Keep the best box, lower the scores of those that overlap it, and so on (Bodla et al. 2017).

    A box whose score falls to the round's confidence threshold or below is dropped. Time is quadratic in the number of
    boxes of a label.
    """

    name = "soft_nms"

    class Params(Aggregator.Params):
        """How overlap lowers a score."""

        decay: Literal["linear", "gaussian"] = Field(
            default="gaussian",
            description="`linear`: above the threshold a score is multiplied by 1 - IoU; "
            "`gaussian`: by exp(-IoU² / sigma), whatever the threshold.",
        )
        threshold: float = Field(default=0.3, gt=0, le=1, description="The IoU above which `linear` lowers a score.")
        sigma: float = Field(default=0.5, gt=0, description="Width of `gaussian`: the smaller, the harsher.")
        across_labels: bool = Field(
            default=False, description="Whether a box can lower the score of one of another label."
        )

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the boxes whose lowered score is above ``round.conf_threshold``, with that score, best first.

        Ties go to the earlier round, then to the earlier position. ``round.nms_threshold`` replaces the threshold of
        ``linear``; 0 returns the input unchanged.
        """
        threshold = self.params.threshold if round.nms_threshold is None else round.nms_threshold
        if threshold == 0 or not len(instances):
            return instances
        ordered = instances.take(precedence(instances))
        scores = ordered.scores.astype(np.float64)
        groups = np.zeros(len(ordered), np.int32) if self.params.across_labels else ordered.labels
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            scores[members] = self.lowered(ordered.boxes[members], scores[members], threshold, round.conf_threshold)
        softened = replace(ordered, scores=scores.astype(np.float32))
        best_first = precedence(softened)
        return softened.take(best_first[scores[best_first] > round.conf_threshold])

    def lowered(self, boxes: Boxes, scores: Float64, threshold: float, floor: float) -> Float64:
        """Return the final scores (N,) of (N, 4) boxes by precedence; boxes at or below ``floor`` are ignored."""
        left = np.arange(len(boxes))
        scores = scores.copy()
        while len(left := left[scores[left] > floor]):
            place = int(np.argmax(scores[left]))
            best, left = left[place], np.delete(left, place)
            scores[left] *= self.factors(iou(boxes[left], boxes[best : best + 1])[:, 0], threshold)
        return scores

    def factors(self, overlap: Float64, threshold: float) -> Float64:
        """Return the factors (N,) that scores are multiplied by at these IoUs (N,)."""
        if self.params.decay == "linear":
            return np.where(overlap > threshold, 1 - overlap, 1.0)
        return np.exp(-(overlap**2) / self.params.sigma)
