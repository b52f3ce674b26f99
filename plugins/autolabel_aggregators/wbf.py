"""Weighted box fusion."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from autolabel.strategies import Aggregator
from autolabel.types import Instances, Round
from autolabel.types.boxes import Boxes, Float64, iou
from autolabel_aggregators.precedence import Index, precedence


class Wbf(Aggregator):
    """Add each box, best first, to the fused box that it overlaps most, or start a new one (Solovyev et al. 2019).

    A fused box is the score-weighted mean of its boxes and is updated with each addition. Time is O(boxes x fused
    boxes).
    """

    name = "wbf"

    class Params(Aggregator.Params):
        """Which boxes are fused, and what their score is."""

        threshold: float = Field(
            default=0.55, gt=0, le=1, description="A box joins a fused box if their IoU is above this."
        )
        score: Literal["max", "mean"] = Field(
            default="max", description="A fused box's score: the highest of its boxes, or their mean as in the paper."
        )
        sources: int = Field(
            default=1,
            ge=1,
            description="How many labelers the boxes come from: a fused box of n boxes, n below this, "
            "has its score multiplied by n / sources.",
        )
        across_labels: bool = Field(
            default=False, description="Whether boxes of different labels can be fused, under the label of the best."
        )

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the fused boxes, best first; each has the earliest round of its boxes.

        Label, mask and given fields are those of its best box: the one of highest score; of equals, the earlier round,
        then the first. ``round.nms_threshold`` replaces the threshold; at 0 the input is returned unchanged.
        """
        threshold = self.params.threshold if round.nms_threshold is None else round.nms_threshold
        if threshold == 0 or not len(instances):
            return instances
        ordered = instances.take(precedence(instances))
        which = np.zeros(len(ordered), np.int64)
        groups = np.zeros(len(ordered), np.int32) if self.params.across_labels else ordered.labels
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            clusters = _fuse(ordered.boxes[members], ordered.scores[members], threshold)
            which[members] = members[clusters]
        merged = self.merged(ordered, which)
        return merged.take(precedence(merged))

    def merged(self, ordered: Instances, which: Index) -> Instances:
        """Return one instance per cluster; ``which`` (N,) is the index of the best box of each box's cluster."""
        best, cluster, counts = np.unique(which, return_inverse=True, return_counts=True)
        weights = _weights_of(ordered.scores, cluster)
        totals = np.bincount(cluster, weights=weights)
        boxes = np.stack([np.bincount(cluster, weights=weights * side) / totals for side in ordered.boxes.T], axis=1)
        scores = ordered.scores[best].astype(np.float64)
        if self.params.score == "mean":
            scores = np.bincount(cluster, weights=ordered.scores) / counts
        rounds = np.full(len(best), np.iinfo(np.int16).max, np.int16)
        np.minimum.at(rounds, cluster, ordered.rounds)
        return replace(
            ordered.take(best),
            boxes=boxes.astype(np.float32),
            scores=(scores * np.minimum(counts / self.params.sources, 1)).astype(np.float32),
            rounds=rounds,
        )


def _fuse(boxes: Boxes, scores: Boxes, threshold: float) -> Index:
    """Return, for each of (N, 4) boxes, best first, the index of the box that started its cluster."""
    sums: Float64 = np.zeros((len(boxes), 4))
    totals: Float64 = np.zeros(len(boxes))
    fused: Float64 = np.zeros((len(boxes), 4))
    starts = np.zeros(len(boxes), np.int64)
    which = np.zeros(len(boxes), np.int64)
    count = 0
    for index, (box, score) in enumerate(zip(boxes.astype(np.float64), scores.tolist(), strict=True)):
        overlap = iou(fused[:count], box[None])[:, 0]
        place = int(np.argmax(overlap)) if count else 0
        if not count or overlap[place] <= threshold:
            place, count = count, count + 1
            starts[place] = index
        weight = score if scores[starts[place]] > 0 else 1.0
        sums[place] += weight * box
        totals[place] += weight
        fused[place] = sums[place] / totals[place]
        which[index] = starts[place]
    return which


def _weights_of(scores: Boxes, cluster: Index) -> Float64:
    """Return the weights of N boxes in their clusters: the scores, or 1 if all scores of a cluster are 0."""
    totals = np.bincount(cluster, weights=scores)
    return np.where(totals[cluster] > 0, scores, 1.0)
