"""Scores of boxes from the agreement of looks and labelers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from autolabel.types import Instances
from autolabel.types.instances import Support
from autolabel.types.neighbours import Index, Neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

_Float64: TypeAlias = "npt.NDArray[np.float64]"
Counts: TypeAlias = "npt.NDArray[np.int64]"
Rule = Literal["vote", "mean", "noisy_or"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """When an image is worth another look."""

    score: float
    """A box that scores more than this is in doubt while not all looks have seen it."""
    sure: float
    """After a single look, which has no other to agree with, a box that scores more than this is in no doubt."""
    boxes: int
    """An image with at most this many boxes in doubt gets no further look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Rescores the boxes that an aggregator kept by the looks that saw them.

    A candidate is assigned to the box of its label with the largest overlap, if the IoU is at least ``iou``.
    """

    score: Rule
    iou: float
    labelers: int
    """The number of labelers."""

    def weigh(self, kept: Instances, union: Instances, *, looks: Sequence[str], asked: Counts) -> Instances:
        """Return the kept boxes, best first, with their support and new scores.

        ``union`` holds the candidates that entered, each with its look, one of ``looks``; label l was searched in the
        first ``asked[l]`` of these. A box has a score in each of n looks, the highest of its candidates there, or 0.
        ``vote`` is the highest of these times the share of nonzero ones, ``mean`` is the mean, and ``noisy_or`` is 1 -
        (the product of 1 - score) ** (1/n). The aggregator's score is multiplied by the ratio of this value to the
        highest score.
        """
        seen, each = self.seen(kept, union, looks), asked[kept.labels]
        best = seen.max(axis=2)
        highest = np.maximum(best.max(axis=1), np.finfo(np.float32).tiny)
        support = tuple(
            Support(looks=int(one.sum()), labelers=int(one.any(axis=0).sum()), asked=count * self.labelers)
            for one, count in zip(seen > 0, each.tolist(), strict=True)
        )
        scores = (kept.scores * _combined(best, each, self.score) / highest).astype(np.float32)
        return replace(kept, scores=scores, support=support).take(np.argsort(-scores, kind="stable"))

    def in_doubt(self, kept: Instances, union: Instances, *, looks: Sequence[str], doubt: Doubt) -> int:
        """Return how many of the kept boxes, searched in all ``looks``, are in doubt."""
        best = self.seen(kept, union, looks).max(axis=2)
        scores = _combined(best, np.full(len(best), len(looks)), self.score).astype(np.float32)
        unsure = scores <= doubt.sure if len(looks) == 1 else (best > 0).sum(axis=1) < len(looks)
        return int((unsure & (scores > doubt.score)).sum())

    def seen(self, kept: Instances, union: Instances, looks: Sequence[str]) -> _Float64:
        """Return (N, looks, labelers) the highest score of each box's candidates, 0 if there is none."""
        place = {name: index for index, name in enumerate(looks)}
        names = sorted({name for names in union.sources or () for name in names})
        look_of = np.array([place[name] for name in union.looks or ()], np.int64)
        scores = np.zeros((len(kept), len(looks), self.labelers))
        box, candidate = self.belonging(kept, union)
        labeler = np.array([names.index(union.sources[one][0]) if union.sources else 0 for one in candidate], np.int64)
        np.maximum.at(scores, (box, look_of[candidate], labeler), union.scores[candidate])
        for alone in np.flatnonzero(~scores.any(axis=(1, 2))).tolist():  # a merged box may overlap none of its sources
            scores[alone, place[(kept.looks or ())[alone]], 0] = kept.scores[alone]
        return scores

    def belonging(self, kept: Instances, union: Instances) -> tuple[Index, Index]:
        """Return pairs (box, candidate): each candidate at most once, with the box that it overlaps most."""
        boxes = np.concatenate([kept.boxes, union.boxes])
        near = Neighbours(boxes, self.iou, groups=np.concatenate([kept.labels, union.labels]))
        waiting, parts = np.arange(len(kept)), [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        while len(waiting):
            answered, i, j, overlap = near.search(waiting)
            parts.append((i, j, overlap))
            waiting = waiting[answered:]
        i, j, overlap = (np.concatenate(column) for column in zip(*parts, strict=True))
        theirs = j >= len(kept)
        i, j, overlap = i[theirs], j[theirs], overlap[theirs]
        order = np.lexsort((i, -overlap, j))
        _, first = np.unique(j[order], return_index=True)
        return i[order][first], j[order][first] - len(kept)


def _combined(best: _Float64, asked: Counts, rule: Rule) -> _Float64:
    """Return one score per box from its best score in each look (N, looks); the first ``asked`` (N,) looks count."""
    if rule == "vote":
        return np.asarray(best.max(axis=1) * (best > 0).sum(axis=1) / asked)
    if rule == "mean":
        return np.asarray(best.sum(axis=1) / asked)
    return np.asarray(1 - np.prod(1 - best, axis=1) ** (1 / asked))
