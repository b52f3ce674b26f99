"""Order a review by likely mistakes, and estimate the work to reach a goal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.certify.goals import BOX_SECONDS, IMAGE_SECONDS
from autolabel.certify.repair import FEW_ANSWERS, FIRST, Float64, by_choice, expected_draws
from autolabel.certify.sentence import about_minutes
from autolabel.doubts.find import compare
from autolabel.doubts.known import Known, read_known
from autolabel.errors import DataError
from autolabel.results.decision import Row
from autolabel.review.missing import likely_misses
from autolabel.review.session import ReviewSession


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewGoal:
    """The goals of a review; None without a goal."""

    precision: float | None
    recall: float | None
    budget: float | None = None
    """Minutes."""
    certified: bool = False
    """Whether the rest will be certified afterwards."""


@dataclass(frozen=True, slots=True)
class _Pick:
    """A box to check, and its probability."""

    chance: float
    row: Row


def limit_to_likely(session: ReviewSession, wanted: ReviewGoal) -> Iterator[str]:
    """Limit a review to the images with likely mistakes; yield estimates in sentences.

    For a precision, these are the boxes most likely wrong; for a recall, the boxes below the run's thresholds that are
    most likely objects. Their number minimises the work of checking them and of certifying the rest, within
    ``wanted.budget`` minutes. Raises DataError if nothing is left to check.
    """
    known = read_known(session.store, session.plan)
    picks: list[_Pick] = []
    said: list[str] = []
    if wanted.precision is not None:
        wrong, told = _likely_errors(known, wanted.precision, certified=wanted.certified)
        picks += wrong
        said += told
    if wanted.recall is not None:
        missed, told = likely_misses(session.store, session.plan, known, wanted.recall, certified=wanted.certified)
        picks += [_Pick(chance, row) for chance, row in missed]
        said += told
    if not picks:
        raise DataError(". ".join(said), hint="`autolabel certify RUN` states the result of the checks")
    picks.sort(key=lambda pick: -pick.chance)
    picks = picks if wanted.budget is None else _within(picks, 60 * wanted.budget)
    session.index.build()
    session.images = _places(session, picks)
    boxes, images = f"{len(picks):,} box{'es' * (len(picks) != 1)}", f"{len(session.images):,} images"
    yield f"to check by choice: {boxes} in {images}, {about_minutes(_seconds(picks) / 60)}, the likeliest first"
    yield from said
    if known.answered < FEW_ANSWERS:
        yield (
            "boxes are ordered by score, looks, sizes and overlaps, until some boxes of the certificate are answered"
            " (`review --next certificate`), and predictions, and what is told of the work, get better"
        )


def limit_to_doubts(
    session: ReviewSession, truth: str | None, *, names: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Order the images of a review by their error probability, descending; yield a sentence.

    ``truth`` are the labels to rank, None for the run's own; images that it does not cover are not shown.
    """
    found = compare(session.store, session.plan, truth, names=names, near_duplicates=True)
    session.index.build()
    rows: list[int] = []
    for one in found.images:
        row = session.index.find(one.image)
        while row is not None and row < len(session.index) and session.index.name(row) == one.image:
            rows.append(row)
            row += 1
    session.images = rows
    likely = sum(one.boxes for one in found.images)
    yield f"{len(rows):,} images, the likeliest errors first; {likely:,} boxes are likelier wrong than right"


def _likely_errors(known: Known, precision: float, *, certified: bool) -> tuple[list[_Pick], list[str]]:
    units, wrong = known.units, known.chance_of_wrong()
    undecided = np.setdiff1d(np.arange(len(wrong)), np.fromiter(known.right, np.int64, len(known.right)))
    if not len(undecided):
        return [], ["every box has been checked" if len(wrong) else "the run exports no box"]
    order = undecided[np.argsort(-wrong[undecided], kind="stable")]
    kept = float(len(wrong) - sum(not right for right in known.right.values()))
    count = by_choice(wrong[order], kept=kept, share=precision) or min(len(order), FIRST)
    rows = [units.rows[units.box_rows[box]] for box in order[:count].tolist()]
    chances = wrong[order[:count]].tolist()
    picks = [_Pick(chance, (row.image, row.caption_index)) for chance, row in zip(chances, rows, strict=True)]
    return picks, list(_errors_told(wrong[order], count, kept, precision, certified=certified, known=known))


def _errors_told(
    wrong: Float64, count: int, kept: float, precision: float, *, certified: bool, known: Known
) -> Iterator[str]:
    yield f"likely errors: {count:,} boxes, about {round(wrong[:count].sum()):,} of them wrong"
    if certified and known.answered >= FEW_ANSWERS:
        drawn = max(0.0, expected_draws(wrong, kept=kept, share=precision) - count)
        yield (
            f"then about {round(drawn):,} drawn boxes certify a precision of {precision:g},"
            f" {about_minutes(drawn * BOX_SECONDS / 60)}: choose Certify on the page, and draw anew there"
        )


def _within(picks: Sequence[_Pick], seconds: float) -> list[_Pick]:
    """Return the first picks that fit into so many seconds, at least one."""
    rows: set[Row] = set()
    for count, pick in enumerate(picks):
        seconds -= BOX_SECONDS + IMAGE_SECONDS * (pick.row not in rows)
        rows.add(pick.row)
        if seconds < 0:
            return list(picks[: max(1, count)])
    return list(picks)


def _seconds(picks: Sequence[_Pick]) -> float:
    return len(picks) * BOX_SECONDS + len({pick.row for pick in picks}) * IMAGE_SECONDS


def _places(session: ReviewSession, picks: Sequence[_Pick]) -> list[int]:
    """Return the distinct rows of boxes, in the order of the boxes."""
    found = (session.index.find(*row) for row in dict.fromkeys(pick.row for pick in picks))
    return [row for row in found if row is not None]
