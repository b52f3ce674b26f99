"""Compute bounds from the checks of a run, a class or a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.certify.ledger import SampledTotals, least

BOX_SHARE = 0.2
"""The part of the risk of a statement about recall that its boxes may spend; images spend the rest."""
_LEAST_CAP = 3
"""No image counts fewer missed objects than it lacks up to this number."""


def default_cap(boxes: npt.ArrayLike) -> int:
    """Return K, the 0.9 quantile of the number of boxes per image, at least 3; ``boxes`` are counts by image."""
    counts = np.asarray(boxes)
    return max(_LEAST_CAP, _floor_of(float(np.quantile(counts, 0.9)))) if counts.size else _LEAST_CAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A share from 0 to 1; None if nothing can be stated."""

    at_least: float | None = None
    """Holds at every look with the confidence of the audit."""
    at_most: float | None = None
    """The upper bound, with the same confidence, separately."""
    estimate: float | None = None
    """The most likely value, without guarantee."""
    exact: bool = False
    """Whether everything was checked: all three are the share itself."""


class Audit:
    """Checked boxes, right or wrong, and checked images with their missed objects.

    ``boxes`` and ``images`` are population sizes; ``cap`` is K, the maximum of missed objects that count per image.
    ``risk`` is the probability, for each bound separately, that it is ever false.
    """

    def __init__(self, boxes: int, images: int, *, cap: int, risk: float = 0.05) -> None:
        self.boxes, self.images, self.cap, self.risk = boxes, images, cap, risk
        self.right, self.wrong = SampledTotals(boxes), SampledTotals(boxes)
        self.spare, self.missed, self.full = SampledTotals(images), SampledTotals(images), SampledTotals(images)
        self.all_missed = 0
        """Missed objects of all checked images, those beyond K included."""

    def enter_boxes(self, right: Iterable[bool], *, drawn: bool) -> None:
        """Enter verdicts; "cannot tell" counts as wrong."""
        for value in right:
            _enter(self.right, int(value), drawn)
            _enter(self.wrong, 1 - int(value), drawn)

    def enter_images(self, missed: Iterable[int], *, drawn: bool) -> None:
        """Enter the numbers of missed objects of images, at most K each."""
        for count in missed:
            value = min(int(count), self.cap)
            _enter(self.spare, self.cap - value, drawn)
            _enter(self.missed, value, drawn)
            _enter(self.full, int(value == 0), drawn)
            self.all_missed += int(count)

    @property
    def least_right(self) -> int:
        """Return a lower bound of right boxes, at recall's share of the risk for boxes."""
        return least(self.right, self.risk * BOX_SHARE)

    @property
    def most_missed(self) -> int:
        """Return an upper bound of missed objects (up to K per image), at recall's share of the risk for images."""
        return self.cap * self.images - least(self.spare, self.risk * (1 - BOX_SHARE))

    def precision(self) -> Bounds:
        """Return the bounds of precision: the share of boxes that are right."""
        if not self.boxes or not self.right.decided:
            return Bounds()
        if self.right.complete:
            return _exactly(self.right.known / self.boxes)
        return Bounds(
            at_least=least(self.right, self.risk) / self.boxes,
            at_most=1 - least(self.wrong, self.risk) / self.boxes,
            estimate=_share(self.right.estimate, self.boxes),
        )

    def recall(self) -> Bounds:
        """Return the bounds of recall: the share of objects with a right box; at most K missed objects count per image.

        Once everything is checked, all missed objects count, and the share is exact.
        """
        if not self.images or not self.missed.decided:
            return Bounds()
        if self.missed.complete and self.right.complete:
            true = self.right.known + self.all_missed
            return _exactly(self.right.known / true) if true else Bounds(exact=True)
        low, most = self.least_right, self.most_missed
        high = self.boxes - least(self.wrong, self.risk * BOX_SHARE)
        fewest = least(self.missed, self.risk * (1 - BOX_SHARE))
        return Bounds(
            at_least=low / (low + most) if low + most else None,
            at_most=high / (high + fewest) if high + fewest else None,
            estimate=_recall(self.right.estimate, self.missed.estimate),
        )

    def complete(self) -> Bounds:
        """Return the bounds of the share of images without missed objects; does not depend on K."""
        if not self.images or not self.full.decided:
            return Bounds()
        if self.full.complete:
            return _exactly(self.full.known / self.images)
        lacking = SampledTotals(
            self.images,
            [1 - value for value in self.full.values],
            [self.images - left - before for left, before in zip(self.full.left, self.full.before, strict=True)],
            self.full.left,
            self.full.decided - self.full.known,
            self.full.decided,
        )
        return Bounds(
            at_least=least(self.full, self.risk) / self.images,
            at_most=1 - least(lacking, self.risk) / self.images,
            estimate=_share(self.full.estimate, self.images),
        )

    def precision_after(self, removed: int) -> float | None:
        """Return the lower bound of precision after ``removed`` wrong boxes are removed."""
        if not self.right.decided or self.boxes <= removed:
            return None
        return least(self.right, self.risk) / (self.boxes - removed)

    def recall_after(self, added: int) -> float | None:
        """Return the lower bound of recall after ``added`` missed objects got a box."""
        low, most = self.least_right, self.most_missed
        if not self.missed.decided or not low + most:
            return None
        return min(1.0, (low + added) / (low + most))

    def needed_right(self, precision: float) -> int:
        """Return the largest number of right boxes that does not reach ``precision``."""
        return ceil_of(precision * self.boxes) - 1

    def needed_spare(self, recall: float, right: int) -> int:
        """Return the largest total of ``spare`` that does not reach ``recall`` if ``right`` boxes are right."""
        return self.cap * self.images - _floor_of(right * (1 - recall) / recall) - 1


def ceil_of(value: float) -> int:
    """Return the ceiling, robust to floating-point error: 0.9 * 10 gives 9."""
    return math.ceil(value - 1e-9)


def _floor_of(value: float) -> int:
    """Return the floor, robust to floating-point error."""
    return math.floor(value + 1e-9)


def _enter(ledger: SampledTotals, value: int, drawn: bool) -> None:
    if drawn:
        ledger.draw(value)
    else:
        ledger.choose([value])


def _exactly(share: float) -> Bounds:
    return Bounds(at_least=share, at_most=share, estimate=share, exact=True)


def _share(total: float | None, size: int) -> float | None:
    return None if total is None else total / size


def _recall(right: float | None, missed: float | None) -> float | None:
    if right is None or missed is None or not right + missed:
        return None
    return right / (right + missed)
