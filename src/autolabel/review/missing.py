"""Offer boxes below a run's thresholds to raise recall with the least work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autolabel.certify.candidates import LowScoredBoxes, candidates
from autolabel.certify.finding import USUAL, Looked, Repair, chance_of_right, least_chance, looking, pilot, plan_repair
from autolabel.certify.goals import IMAGE_SECONDS, MISSED_SECONDS
from autolabel.certify.repair import Float64, Int64
from autolabel.certify.sentence import about_minutes
from autolabel.doubts.known import Known
from autolabel.plan.model import Plan
from autolabel.results.decision import Row
from autolabel.results.store import RunStore

_NO_THRESHOLD = (
    "likely misses: none to offer, as nothing lies below a threshold; label with a lower conf_threshold and state the"
    " present one in output.thresholds, and what lies between is offered here"
)

_NOT_LOOKED = "how many objects are missed is not known yet: `review --next certificate` looks at some images first"


def likely_misses(
    store: RunStore, plan: Plan, known: Known, recall: float, *, certified: bool
) -> tuple[list[tuple[float, Row]], list[str]]:
    """Return the candidates to check with their probabilities of being objects, and notes on them.

    Only candidates that find objects faster than searching images are included.
    """
    low = candidates(store, plan, classes=known.units.place_of_class, thresholds=known.thresholds, review=known.review)
    if not low.rows:
        return [], [_NO_THRESHOLD]
    scores, undecided = np.frombuffer(low.scores, np.float64), np.array([one is None for one in low.right], bool)
    chances = chance_of_right(scores, np.frombuffer(low.classes, np.int64), low.right)
    looked = _looked(known, low)
    if chances is None:
        order = pilot(scores, np.flatnonzero(undecided))
        return _picks(low, scores, order), list(_pilot_told(order, low, looked, recall))
    bar = least_chance(USUAL if looked is None else looked.mean)
    worth = np.flatnonzero((chances >= bar) & undecided)
    order = worth[np.argsort(-chances[worth], kind="stable")]
    if looked is None:
        return _picks(low, chances, order), list(_unknown(chances[order], low))
    repair = plan_repair(chances[order], looked, recall=recall)
    said = _told(chances[order], low, looked, repair, recall, certified=certified)
    return _picks(low, chances, order[: repair.candidates]), list(said)


def _picks(low: LowScoredBoxes, chances: Float64, order: Int64) -> list[tuple[float, Row]]:
    return [(float(chances[place]), low.rows[place]) for place in order.tolist()]


def _looked(known: Known, low: LowScoredBoxes) -> Looked | None:
    """Return the recall estimate from checked images; None if there are none.

    Candidates kept since then count as right, and no longer as missed.
    """
    audit = known.audit
    if audit is None or not known.missed:
        return None
    right = float(audit.boxes) if audit.right.estimate is None else audit.right.estimate
    kept = 0 if known.holds else sum(one is True for one in low.right)
    total = audit.images * float(np.mean(known.missed))
    left = max(0.0, 1 - kept / total) if total else 1.0
    missed = [left * count for count in known.missed]
    return Looked(images=audit.images, right=right + kept, missed=missed, cap=audit.cap)


def _pilot_told(order: Int64, low: LowScoredBoxes, looked: Looked | None, recall: float) -> Iterator[str]:
    if looked is not None:
        yield f"recall is about {looked.recall:.2f}; {recall:g} is wanted"
    yield (
        f"likely misses: {len(order):,} of {len(low.rows):,} boxes below the thresholds, from the surest to the least"
        " sure; keep or reject each, and the same command tells then how many more are worth a look"
    )
    if looked is None:
        yield _NOT_LOOKED


def _unknown(chances: Float64, low: LowScoredBoxes) -> Iterator[str]:
    yield f"likely misses: {len(chances):,} of {len(low.rows):,} boxes below the thresholds are worth a look"
    yield _NOT_LOOKED


def _told(
    chances: Float64, low: LowScoredBoxes, looked: Looked, repair: Repair, recall: float, *, certified: bool
) -> Iterator[str]:
    yield f"recall is about {looked.recall:.2f}; {recall:g} is wanted"
    worth = f"{len(chances):,} of {len(low.rows):,} boxes below the thresholds are worth a look"
    yield (
        f"likely misses: {worth}; {repair.candidates:,} are taken, about {round(repair.found):,} of them objects that"
        " are missed"
    )
    if repair.by_looking >= 0.5:
        yield _looking_told(repair, looked)
    if certified and repair.images is not None:
        seconds = repair.images * (IMAGE_SECONDS + MISSED_SECONDS * looked.mean)
        yield (
            f"then about {repair.images:,} drawn images certify a recall of {recall:g},"
            f" {about_minutes(seconds / 60)}: choose Certify on the page, and draw anew there"
        )


def _looking_told(repair: Repair, looked: Looked) -> str:
    needed = f"about {max(1, round(repair.by_looking)):,} more objects have to be looked for"
    found = looking(repair, looked)
    if found is None:
        return f"{needed}, more than all images seem to lack: this recall is out of reach"
    images, minutes = found
    return f"{needed}: about {round(images):,} images, {about_minutes(minutes)}"
