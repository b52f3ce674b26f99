"""Order a review by likely errors, and say beforehand how much work reaches what is wanted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autolabel.certify.checks import Checks
from autolabel.certify.goals import BOX_SECONDS, IMAGE_SECONDS
from autolabel.certify.opening import begun, opened
from autolabel.certify.population import decided, limits_of, population
from autolabel.certify.repair import FEW_ANSWERS, FIRST, Float64, Int64, by_choice, chance_of_wrong, expected_draws
from autolabel.certify.units import Units
from autolabel.errors import DataError
from autolabel.review.session import Session


def limit_to_errors(session: Session, *, precision: float, budget: float | None, certified: bool) -> Iterator[str]:
    """Limit a review to the images whose boxes are likeliest to be wrong; yield what to expect, in sentences.

    Boxes are ordered by the predicted chance of being wrong: from the answers of the run's certificate, or by score
    where there are too few. So many are taken that checking them, and drawing from the rest, reaches ``precision`` with
    the least work; and no more than ``budget`` minutes allow. Raises DataError where no box is left to check.
    """
    units, answers = _known(session)
    wrong = _chances(units, answers)
    open_boxes = np.setdiff1d(np.arange(len(wrong)), np.fromiter(answers, np.int64, len(answers)))
    if not len(open_boxes):
        raise DataError("every box has been checked", hint="`autolabel certify RUN` states what that comes to")
    order = open_boxes[np.argsort(-wrong[open_boxes], kind="stable")]
    gone = sum(not right for right in answers.values())
    kept = float(len(wrong) - gone)
    count = by_choice(wrong[order], kept=kept, share=precision)
    total = expected_draws(wrong[order], kept=kept, share=precision)
    if not count:
        count = min(len(order), FIRST)
    if budget is not None:
        count = max(1, min(count, int(60 * budget / BOX_SECONDS)))
    session.index.build()
    session.images = _rows(session, units, order[:count])
    yield from _told(len(answers), count, total, precision, certified=certified, images=len(session.images))


def _known(session: Session) -> tuple[Units, dict[int, bool]]:
    """Return the boxes that the run hands out, and which of them are known to be right, by place."""
    store, plan = session.store, session.plan
    if begun(store):
        with opened(store.root) as found:
            if found.session is not None and found.changes.holds:
                return found.session.units, _answers(found.session.checks)
    units = population(store, plan, limits=limits_of(plan, None), review=decided(store))
    return units, dict.fromkeys(units.kept, True)


def _answers(checks: Checks) -> dict[int, bool]:
    return {box: verdict == "yes" for box, verdict in checks.boxes.items()}


def _chances(units: Units, answers: dict[int, bool]) -> Float64:
    answered = np.array(sorted(answers), np.int64)
    wrong = np.array([not answers[box] for box in answered.tolist()], bool)
    scores = np.frombuffer(units.scores, np.float64)
    return chance_of_wrong(scores, np.frombuffer(units.box_classes, np.int64), answered=answered, wrong=wrong)


def _rows(session: Session, units: Units, boxes: Int64) -> list[int]:
    """Return the rows of boxes, each once, in the order of the boxes."""
    rows = dict.fromkeys(units.box_rows[box] for box in boxes.tolist())
    found = (session.index.find(units.rows[row].image, units.rows[row].caption_index) for row in rows)
    return [row for row in found if row is not None]


def _told(answered: int, count: int, total: float, precision: float, *, certified: bool, images: int) -> Iterator[str]:
    minutes = (count * BOX_SECONDS + images * IMAGE_SECONDS) / 60
    yield f"likely errors: about {count:,} boxes in {images:,} images, about {max(1, round(minutes)):,} minutes"
    if answered < FEW_ANSWERS:
        yield (
            "they are ordered by score alone; answer some boxes of the certificate first (`review --next certificate`),"
            " and predictions, and what is told of the work, get better"
        )
    elif certified:
        drawn = max(0.0, total - count)
        yield (
            f"then about {round(drawn):,} drawn boxes certify a precision of {precision:g}, about"
            f" {max(1, round(drawn * BOX_SECONDS / 60)):,} minutes: choose Certify on the page, and draw anew there"
        )
