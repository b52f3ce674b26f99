"""`review --next errors | mixed`: likely errors first, and the work told beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from autolabel.certify.finding import Looked, least_chance, looking, plan_repair
from autolabel.errors import DataError
from autolabel.results.store import finished
from autolabel.review.doubtful import ReviewGoal, limit_to_likely
from autolabel.review.session import ReviewSession
from tests.certify.true_run import Truth

Make = Callable[..., Truth]


def told(
    run: Truth,
    *,
    precision: float | None = 0.95,
    recall: float | None = None,
    budget: float | None = None,
    certified: bool = True,
) -> tuple[list[str], list[str]]:
    """Return the images that come first, and what is said of the work."""
    session = ReviewSession(*finished(run.root))
    wanted = ReviewGoal(precision=precision, recall=recall, budget=budget, certified=certified)
    try:
        said = list(limit_to_likely(session, wanted))
        return [session.index.name(row) for row in session.images or ()], said
    finally:
        session.index.close()


def test_without_answers_the_score_orders(make_run: Make) -> None:
    run = make_run(60)
    images, said = told(run)
    assert 0 < len(images) <= 60 and len(set(images)) == len(images)
    assert re.fullmatch(r"to check by choice: \d+ boxes in \d+ images, about \d+ minutes, the likeliest first", said[0])
    assert said[1].startswith("likely errors: ") and "ordered by score, looks, sizes and overlaps" in said[2]


def test_answers_teach_where_the_errors_are(make_run: Make) -> None:
    """All boxes of one class are wrong: after some answers they come first."""
    run = make_run(120, wrong=0)
    state = run.certify("--precision", "0.9", "--json")
    units = run.certify("--next", "120", "--json")
    wrong = {(unit["image"], tuple(unit["bbox"])) for unit in units if unit["phrase"] == "blue"}
    answers = [{"id": unit["id"], "verdict": "no" if unit["phrase"] == "blue" else "yes"} for unit in units]
    run.certify("--answers", run.save(answers), "--json")
    assert state["boxes"]["units"] == 360 and len(wrong) > 30
    session = ReviewSession(*finished(run.root))
    said = list(limit_to_likely(session, ReviewGoal(precision=0.9, recall=None, budget=1.0, certified=True)))
    first = session.images or []
    assert 0 < len(first) <= 11, "a minute is eleven images with a box each"
    names = {unit["image"] for unit in units}
    assert "about 1 minute, the likeliest first" in said[0]
    assert "then about" in said[2] and "drawn boxes certify a precision of 0.9" in said[2]
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


LOW = {"red": 0.6, "blue": 0.6}


def look(run: Truth, count: int, mended: Sequence[str] = ()) -> None:
    """Answer the next units of a run whose boxes below 0.6 are left out, but for the right ones of some images."""
    lacks = dict(run.missed)
    for line in (run.root / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        for box in row["instances"] if row["image"] not in mended else ():
            lacks[row["image"]] += box["score"] < 0.6 and (row["image"], tuple(box["bbox"])) not in run.wrong
    answers = []
    for unit in run.certify("--next", str(count), "--json"):
        answers.append(run.answer(unit))
        if unit["unit"] == "image":
            answers[-1]["missed"] = lacks[unit["image"]]
    run.certify("--answers", run.save(answers), "--json")


def hidden(run: Truth) -> set[str]:
    """Return the images that have a box below the threshold."""
    rows = map(json.loads, (run.root / "labels.jsonl").read_text().splitlines())
    return {row["image"] for row in rows if any(box["score"] < 0.6 for box in row["instances"])}


def test_recall_is_raised_by_boxes_below_the_threshold(make_run: Make) -> None:
    """They are offered, the work is told beforehand, and once they are kept the run has the recall that was wanted."""
    run = make_run(120, wrong=0.05, missed=0.02, thresholds=LOW)
    look(run, 160)
    before = run.certify("--json")["recall"]
    assert before["at_most"] < 0.8, "the run does not have it"
    first, said = told(run, precision=None, recall=0.8)
    assert set(first) <= hidden(run) and 20 < len(first) <= 60
    assert f"recall is about {before['estimate']:.2f}; 0.8 is wanted" in said
    assert "60 of" in said[2] and "the same command tells then how many more are worth a look" in said[2]
    keep_what_is_right(run, first)
    more, said = told(run, precision=None, recall=0.8)
    assert set(more) <= hidden(run) - set(first), "what was decided is not offered again"
    assert any("boxes below the thresholds are worth a look" in line for line in said)
    assert "drawn images certify a recall of 0.8" in said[-1]
    images = [*first, *more]
    keep_what_is_right(run, images)
    state = run.certify("--redraw", "--recall", "0.8", "--json")
    assert state["boxes"]["known"] > 60 and not state["recall"]["impossible"]
    for _ in range(10):
        look(run, 20, mended=images)
    assert run.certify("--json")["recall"]["certified"]


def keep_what_is_right(run: Truth, images: list[str]) -> None:
    """Decide about the boxes below the threshold of some images as a person would on the page."""
    decisions = []
    for line in (run.root / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        for box in row["instances"] if row["image"] in images else ():
            if box["score"] < 0.6:
                right = (row["image"], tuple(box["bbox"])) not in run.wrong
                named = {"image": row["image"], "bbox": box["bbox"], "phrase": box["phrase"]}
                decisions.append(named | {"verdict": "keep" if right else "reject"})
    plan = json.loads((run.root / "plan.json").read_text())["digest"]
    (run.root / "review.json").write_text(json.dumps({"plan": plan, "decisions": decisions}))


def test_candidates_that_were_decided_are_not_offered_again(make_run: Make) -> None:
    run = make_run(60, wrong=0.05, thresholds=LOW)
    images, _ = told(run, precision=None, recall=0.8)
    assert images
    keep_what_is_right(run, sorted(hidden(run)))
    with pytest.raises(DataError, match=r"0 of \d+ boxes below"):
        told(run, precision=None, recall=0.8)


def test_without_looks_the_recall_is_not_known_and_that_is_said(make_run: Make) -> None:
    images, said = told(make_run(40, thresholds=LOW), precision=None, recall=0.8)
    assert images and any("is not known yet" in line for line in said)


def test_without_thresholds_nothing_can_be_offered(make_run: Make) -> None:
    run = make_run(20)
    with pytest.raises(DataError, match=r"nothing lies below a threshold; label with a lower conf_threshold"):
        told(run, precision=None, recall=0.8)
    images, said = told(run, precision=0.9, recall=0.8)
    assert images and any("nothing lies below a threshold" in line for line in said), "the errors are offered still"


def test_candidates_that_are_never_right_are_not_worth_a_look(make_run: Make) -> None:
    """The tool says so before anybody starts."""
    run = make_run(120, wrong=0.0, missed=0.2, thresholds=LOW)
    for line in (run.root / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        run.wrong |= {(row["image"], tuple(box["bbox"])) for box in row["instances"] if box["score"] < 0.6}
    look(run, 160)
    first, _ = told(run, precision=None, recall=0.9)
    keep_what_is_right(run, first)
    with pytest.raises(DataError, match=r"likely misses: 0 of \d+ boxes .* more objects have to be looked for: about"):
        told(run, precision=None, recall=0.9)


def test_the_chance_that_is_worth_a_look() -> None:
    """5.5 s a candidate in its image against 4 s an image and 8 s a click."""
    assert least_chance(0.5) == pytest.approx(5.5 / 16) and least_chance(2) == pytest.approx(0.55)
    assert least_chance(0) < 0.002, "where hardly anything is missed, any candidate is worth it"


def test_the_split_of_recall() -> None:
    looked = Looked(images=1000, right=4000, missed=[1] * 30 + [0] * 30, cap=4)
    assert looked.recall == pytest.approx(8 / 9)
    chances = np.linspace(0.9, 0.2, 800)
    plan = plan_repair(chances, looked, recall=0.92)
    assert 100 < plan.candidates < 800 and plan.images is not None and plan.by_looking == 0
    assert plan_repair(chances, looked, recall=0.8).candidates < plan.candidates, "less is wanted"
    none = plan_repair(np.zeros(0), looked, recall=0.95)
    assert none.candidates == 0 and none.images is None and none.by_looking == pytest.approx(0.95 * 4500 - 4000)
    found = looking(none, looked)
    assert found is not None and found[0] == pytest.approx(550) and found[1] == pytest.approx((550 * 4 + 275 * 8) / 60)
    assert looking(plan_repair(np.zeros(0), looked, recall=0.9999), looked) is not None
