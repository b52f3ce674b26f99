"""`review --next errors | mixed`: likely errors first, and the work told beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autolabel.errors import DataError
from autolabel.results.store import finished
from autolabel.review.doubtful import limit_to_errors
from autolabel.review.session import Session
from tests.certify.true_run import Truth

Make = Callable[..., Truth]


def told(
    run: Truth, *, precision: float = 0.95, budget: float | None = None, certified: bool = True
) -> tuple[list[str], list[str]]:
    """Return the images that come first, and what is said of the work."""
    session = Session(*finished(run.root))
    try:
        said = list(limit_to_errors(session, precision=precision, budget=budget, certified=certified))
        return [session.index.name(row) for row in session.images or ()], said
    finally:
        session.index.close()


def test_without_answers_the_score_orders(make_run: Make) -> None:
    run = make_run(60)
    images, said = told(run)
    assert 0 < len(images) <= 60 and len(set(images)) == len(images)
    assert "likely errors: about" in said[0] and "ordered by score alone" in said[1]


def test_answers_teach_where_the_errors_are(make_run: Make) -> None:
    """All boxes of one class are wrong: after some answers they come first."""
    run = make_run(120, wrong=0)
    state = run.certify("--precision", "0.9", "--json")
    units = run.certify("--next", "120", "--json")
    wrong = {(unit["image"], tuple(unit["bbox"])) for unit in units if unit["phrase"] == "blue"}
    answers = [{"id": unit["id"], "verdict": "no" if unit["phrase"] == "blue" else "yes"} for unit in units]
    run.certify("--answers", run.save(answers), "--json")
    assert state["boxes"]["units"] == 360 and len(wrong) > 30
    session = Session(*finished(run.root))
    said = list(limit_to_errors(session, precision=0.9, budget=1.0, certified=True))
    first = session.images or []
    assert 0 < len(first) <= 40, "a minute is forty boxes"
    names = {unit["image"] for unit in units}
    assert "then about" in said[1] and "drawn boxes certify a precision of 0.9" in said[1]
    blue = [
        row
        for row in first
        if any(
            box.name == "blue" and (session.index.name(row), tuple(box.place)) not in wrong
            for box in session.view(row).boxes
        )
    ]
    assert len(blue) == len(first) and names, "each of them has a box of the class that is always wrong"
    session.index.close()


def test_everything_checked_leaves_nothing(make_run: Make) -> None:
    run = make_run(6)
    run.check(100)
    with pytest.raises(DataError, match="every box has been checked"):
        told(run)
