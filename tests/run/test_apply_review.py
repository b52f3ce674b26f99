"""What a person said is what comes out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.results.review import Decision, Review, apply_to_row, left_out, protected, verdicts
from autolabel.types import Instances, Labels, Rle
from tests.report.rows import make_row

LEFT, RIGHT, FAR = [10.0, 10, 40, 40], [60.0, 10, 90, 40], [100.0, 60, 150, 110]
ROW = make_row("a.jpg", [LEFT, RIGHT, FAR], scores=[0.9, 0.5, 0.3], labels=[0, 0, 1], rounds=[0, 1, 2])


def decide(verdict: Any, box: list[float] | None = None, phrase: str | None = None, **fields: Any) -> Decision:
    phrase = "cell" if box and phrase is None else phrase
    return Decision(image="a.jpg", bbox=tuple(box) if box else None, phrase=phrase, verdict=verdict, **fields)


def applied(labels: Labels, *decisions: Decision) -> Instances:
    return apply_to_row(labels, Review(plan="p", decisions=decisions)).instances


def test_rows_nobody_spoke_of_come_back_themselves() -> None:
    other = Review(
        plan="p",
        decisions=(
            Decision(image="b.jpg", verdict="reject"),
            Decision(image="a.jpg", caption_index=1, verdict="reject"),
        ),
    )
    assert apply_to_row(ROW, other) is ROW


def test_a_rejected_box_is_dropped_and_nothing_else() -> None:
    out = applied(ROW, decide("reject", RIGHT))
    assert out.boxes.tolist() == [LEFT, FAR]
    assert out.scores.tolist() == pytest.approx([0.9, 0.3])
    assert out.rounds.tolist() == [0, 2]


def test_a_rejected_box_stays_away_when_a_later_run_finds_it_a_little_moved() -> None:
    moved = make_row("a.jpg", [[61.0, 9, 91, 41], LEFT], labels=[0, 0])
    assert applied(moved, decide("reject", RIGHT)).boxes.tolist() == [LEFT]


def test_another_object_is_not_taken_for_it() -> None:
    elsewhere = make_row("a.jpg", [[75.0, 10, 105, 40], RIGHT], labels=[0, 1])
    assert len(applied(elsewhere, decide("reject", RIGHT))) == 2


def test_of_two_close_boxes_the_decided_one_is_meant() -> None:
    near = [61.0, 10, 91, 40]
    crowd = make_row("a.jpg", [near, RIGHT])
    assert applied(crowd, decide("reject", RIGHT)).boxes.tolist() == [near]


def test_a_kept_box_has_the_place_in_which_it_was_kept() -> None:
    mask = Rle.encode(np.ones((120, 160), bool))
    moved = make_row("a.jpg", [[61.0, 9, 91, 41]], scores=[0.7], rounds=[1], masks=[mask])
    out = applied(moved, decide("keep", RIGHT, score=0.5))
    assert out.boxes.tolist() == [RIGHT]
    assert out.masks == (mask,)
    assert out.scores.tolist() == pytest.approx([0.7])


def test_a_kept_box_comes_back_where_it_was_not_found() -> None:
    empty = make_row("a.jpg")
    out = apply_to_row(
        empty, Review(plan="p", decisions=(decide("keep", RIGHT, score=0.25, round=2), decide("keep", FAR, "dot")))
    )
    assert out.state == "labelled"
    assert out.instances.boxes.tolist() == [RIGHT, FAR]
    assert out.instances.labels.tolist() == [0, 1]
    assert out.instances.scores.tolist() == [0.25, 1.0]
    assert out.instances.rounds.tolist() == [2, -1]


def test_a_kept_box_does_not_come_back_where_its_phrase_is_not_asked_or_it_is_outside() -> None:
    empty = make_row("a.jpg", phrases=("other",))
    assert len(applied(empty, decide("keep", RIGHT))) == 0
    assert len(applied(make_row("a.jpg"), decide("keep", [500.0, 10, 600, 20]))) == 0


def test_a_row_rejected_as_a_whole_is_left_out() -> None:
    review = Review(plan="p", decisions=(decide("reject"), decide("keep", LEFT)))
    assert left_out(ROW, review)
    assert len(apply_to_row(ROW, review).instances) == 0
    assert not left_out(make_row("b.jpg"), review)


def test_a_row_kept_as_a_whole_has_the_kept_boxes_only() -> None:
    assert applied(ROW, decide("keep"), decide("keep", LEFT)).boxes.tolist() == [LEFT]
    assert len(applied(ROW, decide("keep"))) == 0
    assert not left_out(ROW, Review(plan="p", decisions=(decide("keep"),)))


def test_a_failed_row_stays_failed() -> None:
    failed = make_row("a.jpg", failure=("missing", "gone"))
    assert apply_to_row(failed, Review(plan="p", decisions=(decide("keep", LEFT),))) is failed


def test_kept_boxes_are_protected_found_or_restored() -> None:
    review = Review(
        plan="p", decisions=(decide("keep", RIGHT), decide("reject", LEFT), decide("keep", [5.0, 80, 25, 100]))
    )
    out = apply_to_row(ROW, review)
    assert protected(out, review).tolist() == [True, False, True]
    assert verdicts(ROW, review) == ["reject", "keep", None]


boxes = st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(51, 100)] * 2).map(
    lambda box: [float(value) for value in box]
)


@given(st.lists(boxes, max_size=6, unique_by=tuple), st.data())
def test_applying_twice_is_applying_once_and_every_kept_box_is_there(
    found: list[list[float]], data: st.DataObject
) -> None:
    row = make_row("a.jpg", found)
    said = data.draw(
        st.lists(
            st.tuples(boxes | st.sampled_from(found or [LEFT]), st.sampled_from(["keep", "reject"])),
            max_size=6,
            unique_by=lambda pair: tuple(pair[0]),
        )
    )
    review = Review(plan="p", decisions=tuple(decide(verdict, box) for box, verdict in said))
    once = apply_to_row(row, review)
    kept = {tuple(box) for box, verdict in said if verdict == "keep"}
    assert kept <= {tuple(box) for box in once.instances.boxes.tolist()}
    assert protected(once, review).sum() == len(kept)
