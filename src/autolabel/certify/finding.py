"""Plan how to find missed objects with the least work: candidates below the threshold, then random images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.certify.audit import BOX_SHARE, _floor_of
from autolabel.certify.forecast import draws_of
from autolabel.certify.goals import BOX_SECONDS, IMAGE_SECONDS, MISSED_SECONDS
from autolabel.certify.repair import FEW_ANSWERS, Float64, Int64, chance_of_wrong

_PILOT = 60
"""So many candidates, from the surest to the least sure, are checked before anything is predicted of the others."""
CANDIDATE_SECONDS = BOX_SECONDS + IMAGE_SECONDS
"""A candidate is judged in its image, which is opened for it; most images have only one that is worth a look."""
USUAL = 0.5
"""Assumed missed objects per image before any image was checked."""
_HOPED = 0.96
"""The part of the right boxes that will be known to be right once enough are checked."""


def least_chance(missed: float) -> float:
    """Return the lowest probability of being right at which checking a candidate pays.

    Below it, searching images, which lack ``missed`` objects on average, finds objects faster.
    """
    return CANDIDATE_SECONDS / (IMAGE_SECONDS / max(missed, 1e-3) + MISSED_SECONDS)


def pilot(scores: Float64, undecided: Int64) -> Int64:
    """Return a sample of the undecided candidates over all scores, denser at high scores."""
    order = undecided[np.argsort(-scores[undecided], kind="stable")]
    if len(order) <= _PILOT:
        return order
    places = np.unique(np.geomspace(1, len(order), 3 * _PILOT).astype(np.int64) - 1)
    chosen: Int64 = order[places[np.unique(np.linspace(0, len(places) - 1, _PILOT).astype(np.int64))]]
    return chosen


def chance_of_right(scores: Float64, classes: Int64, right: Sequence[bool | None]) -> Float64 | None:
    """Return the predicted probability that each candidate is an object, (L,), learnt from decided ones.

    None if too few were decided. If none of those was right, all probabilities are bounded by what that implies.
    """
    decided = np.array([place for place, one in enumerate(right) if one is not None], np.int64)
    if len(decided) < FEW_ANSWERS:
        return None
    wrong = np.array([not right[place] for place in decided.tolist()], bool)
    if wrong.all():
        return np.full(len(scores), 1 / (len(decided) + 2))
    return 1 - chance_of_wrong(scores, classes, answered=decided, wrong=wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Estimates of a run's recall from checked images, without guarantee."""

    images: int
    right: float
    """Right boxes."""
    missed: Sequence[float]
    """Missed objects of the images that were drawn and looked at, up to ``cap`` each; one or more images."""
    cap: int
    """K."""

    @property
    def mean(self) -> float:
        """Mean number of missed objects per image."""
        return float(np.mean(self.missed))

    @property
    def total(self) -> float:
        """Estimated missed objects of the run."""
        return self.images * self.mean

    @property
    def recall(self) -> float:
        """The share of the objects that have a right box."""
        return self.right / max(self.right + self.total, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A plan to reach a recall; all numbers are estimates."""

    candidates: int
    """The number of candidates to check, the likeliest objects first."""
    found: float
    """The number of missed objects expected among them."""
    by_looking: float
    """The number of further objects to find in images; 0 if the candidates suffice."""
    images: int | None
    """The number of images to draw after that until the recall is certified; None if it is out of reach."""


def plan_repair(chances: Float64, looked: Looked, *, recall: float, risk: float = 0.05) -> Repair:
    """Split the work between chosen candidates and random images so that ``recall`` is certified with the least work.

    ``chances`` are the probabilities of being right of the candidates worth checking, descending, (L,). If no number of
    them reaches ``recall``, all are used, and images must be searched for the rest.
    """
    gone = np.append(0.0, np.cumsum(chances))
    each = IMAGE_SECONDS + MISSED_SECONDS * looked.mean
    best: tuple[float, int, int] | None = None
    for count in np.unique(np.append(np.geomspace(1, max(1, len(chances)), 40).astype(int), 0)).tolist():
        images = _draws(looked, float(gone[min(count, len(chances))]), recall=recall, risk=risk)
        if images is not None:
            best = min(
                best or (np.inf, 0, 0), (count * CANDIDATE_SECONDS + images * each, min(count, len(chances)), images)
            )
    count = len(chances) if best is None else best[1]
    found = min(float(gone[count]), looked.total)
    needed = recall * (looked.right + looked.total) - looked.right - found
    return Repair(candidates=count, found=found, by_looking=max(0.0, needed), images=None if best is None else best[2])


def _draws(looked: Looked, found: float, *, recall: float, risk: float) -> int | None:
    """Estimate the number of images that certify ``recall`` once ``found`` of the missed objects have a box."""
    left = max(0.0, 1 - found / max(looked.total, 1e-9))
    spare = looked.cap - left * np.minimum(looked.missed, looked.cap)
    right = _HOPED * (looked.right + min(found, looked.total))
    total = looked.cap * looked.images - _floor_of(right * (1 - recall) / recall) - 1
    return draws_of(spare, looked.images, total, risk * (1 - BOX_SHARE))


def looking(repair: Repair, looked: Looked) -> tuple[float, float] | None:
    """Estimate the images and minutes to find the objects that candidates do not cover.

    None if not even all images suffice.
    """
    mean = (looked.total - repair.found) / max(1, looked.images)
    images = repair.by_looking / max(mean, 1e-9)
    if images > looked.images:
        return None
    return images, (images * IMAGE_SECONDS + repair.by_looking * MISSED_SECONDS) / 60
