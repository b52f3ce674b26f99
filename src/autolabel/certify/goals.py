"""The goals of a certificate, their progress, and the next checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autolabel.certify.audit import BOX_SHARE, Audit
from autolabel.certify.forecast import faultless_draws, more_draws
from autolabel.certify.statement import Stated

BOX_SECONDS, IMAGE_SECONDS, MISSED_SECONDS = 1.5, 4.0, 8.0
"""Assumed seconds for a verdict, for an image and for a missed object; for forecasts and the split of the work."""
_BOX_BATCH, _IMAGE_BATCH = 20, 10
BOX_PART = 0.25
"""The part of the time that goes to boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """The shares to certify; None for no goal."""

    precision: float | None = 0.9
    recall: float | None = 0.8
    by_class: bool = False
    budget: float | None = None
    """Minutes."""


def precision_stated(audit: Audit, wanted: float | None) -> Stated:
    """Return the statement about precision, and its distance from the goal."""
    bounds = audit.precision()
    more = None
    if wanted is not None and audit.boxes:
        total = audit.needed_right(wanted)
        more = (
            more_draws(audit.right, total, audit.risk)
            if audit.right.values
            else faultless_draws(audit.boxes - audit.right.decided, total - audit.right.known, audit.risk)
        )
    return _stated(bounds.at_least, bounds.at_most, bounds.estimate, bounds.exact, wanted, more)


def recall_stated(audit: Audit, wanted: float | None) -> Stated:
    """Return the statement about recall, and its distance from the goal; also needs checked boxes."""
    bounds = audit.recall()
    more = None
    if wanted is not None and audit.images:
        right = max(audit.least_right, _hoped_right(audit))
        total, risk = audit.needed_spare(wanted, right), audit.risk * (1 - BOX_SHARE)
        left = audit.images - audit.spare.decided
        more = (
            more_draws(audit.spare, total, risk)
            if audit.spare.values
            else faultless_draws(left, total - audit.spare.known, risk, audit.cap)
        )
    return _stated(bounds.at_least, bounds.at_most, bounds.estimate, bounds.exact, wanted, more)


def _hoped_right(audit: Audit) -> int:
    """Estimate the lower bound of right boxes once enough are checked, slightly below the point estimate."""
    return int(0.96 * (audit.boxes if audit.right.estimate is None else audit.right.estimate))


def _stated(
    low: float | None, high: float | None, estimate: float | None, exact: bool, wanted: float | None, more: int | None
) -> Stated:
    certified = wanted is not None and low is not None and low >= wanted - 1e-12
    impossible = wanted is not None and high is not None and high < wanted - 1e-12
    settled = certified or impossible
    return Stated(
        at_least=low,
        at_most=high,
        estimate=estimate,
        exact=exact,
        wanted=wanted,
        certified=certified,
        impossible=impossible,
        more_checks=0 if certified else None if settled or wanted is None else more or None,
    )


def complete_stated(audit: Audit) -> Stated:
    """Return the statement about images without missed objects."""
    bounds = audit.complete()
    return _stated(bounds.at_least, bounds.at_most, bounds.estimate, bounds.exact, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProgress:
    """The progress of the work: seconds spent, and goals that are reached."""

    box_seconds: float
    image_seconds: float
    seconds_an_image: float
    recall_settled: bool
    """Whether only boxes are wanted: recall is certified, out of reach, or not asked for."""


def next_draws(stage: CertificateProgress, *, boxes: int, images: int, count: int) -> Iterator[tuple[str, int]]:
    """Yield the next kinds to draw ("box" or "image") with their numbers, ``count`` units in all.

    ``boxes`` and ``images`` are left to draw. Boxes are drawn while they have taken less than a quarter of the time,
    otherwise images; once recall is reached, only boxes. (The optimum is flat between a tenth and a third of the time.)
    """
    box_seconds, image_seconds = stage.box_seconds, stage.image_seconds
    while count and (boxes or images):
        turn = stage.recall_settled or box_seconds * (1 - BOX_PART) <= image_seconds * BOX_PART
        if boxes and (turn or not images):
            some = min(_BOX_BATCH, boxes, count)
            boxes, box_seconds = boxes - some, box_seconds + some * BOX_SECONDS
            yield "box", some
        else:
            some = min(_IMAGE_BATCH, images, count)
            images, image_seconds = images - some, image_seconds + some * stage.seconds_an_image
            yield "image", some
        count -= some
