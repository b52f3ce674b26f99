"""Soft non-maximum suppression: overlap costs a box score, not its place."""

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

    A box whose score falls to the round's confidence threshold, or below, is dropped. Time grows with the square of the
    number of boxes of a label.
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

        Of equal scores the earlier round is better, then the earlier position. ``round.nms_threshold`` replaces the
        threshold of ``linear``; at 0 the input is returned unchanged.
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
        """Return the final scores (N,) of (N, 4) boxes in order of precedence; those not above ``floor`` lower none."""
        left = np.arange(len(boxes))
        scores = scores.copy()
        while len(left := left[scores[left] > floor]):
            place = int(np.argmax(scores[left]))
            best, left = left[place], np.delete(left, place)
            scores[left] *= self.factors(iou(boxes[left], boxes[best : best + 1])[:, 0], threshold)
        return scores

    def factors(self, overlap: Float64, threshold: float) -> Float64:
        """Return what scores are multiplied by at these IoUs (N,)."""
        if self.params.decay == "linear":
            return np.where(overlap > threshold, 1 - overlap, 1.0)
        return np.exp(-(overlap**2) / self.params.sigma)
