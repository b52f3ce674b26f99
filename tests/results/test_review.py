"""Reading and joining reviews."""

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import DataError
from autolabel.results.review import Decision, Review, encode_review, merge_reviews, read_review

BOX = [1.5, 2, 30, 40]


def said(verdict: str = "keep", **fields: Any) -> dict[str, Any]:
    return {"image": "a.jpg", "caption_index": 0, "bbox": BOX, "phrase": "cell", "verdict": verdict, **fields}


def write(path: Path, *decisions: Any, **fields: Any) -> Path:
    path.write_text(json.dumps({"plan": "p", "decisions": list(decisions), **fields}))
    return path


def review(*decisions: dict[str, Any], plan: str = "p") -> Review:
    return Review.model_validate_json(json.dumps({"plan": plan, "decisions": decisions}))


def test_a_review_is_read_as_written(tmp_path: Path) -> None:
    whole = {"image": "b.jpg", "verdict": "reject", "bbox": None, "phrase": None}
    got = read_review(write(tmp_path / "review.json", said(score=0.25, round=2), whole, said("forget")))
    assert got.decisions[0] == Decision(
        image="a.jpg", caption_index=0, bbox=(1.5, 2.0, 30.0, 40.0), phrase="cell", score=0.25, round=2, verdict="keep"
    )
    assert got.decisions[1].bbox is None and got.decisions[1].caption_index == 0
    assert [one.verdict for one in got.decisions] == ["keep", "reject", "forget"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    first = review(said(image="\u2028<é>", score=0.1), {"image": "b.jpg", "verdict": "keep"})
    path = tmp_path / "review.json"
    path.write_bytes(encode_review(first))
    assert read_review(path) == first


@pytest.mark.parametrize(
    ("decision", "pointer", "words"),
    [
        (said("maybe"), "/decisions/0/verdict", "'keep', 'reject', 'checked' or 'forget', got 'maybe'"),
        (said(image=""), "/decisions/0/image", "at least 1 character"),
        (said(image=3), "/decisions/0/image", "valid string, got 3"),
        (said(caption_index=-1), "/decisions/0/caption_index", "greater than or equal to 0, got -1"),
        (said(caption_index=True), "/decisions/0/caption_index", "valid integer"),
        (said(bbox=[1, 2, 3]), "/decisions/0/bbox/3", "required"),
        (said(bbox=[1, 2, 3, "4"]), "/decisions/0/bbox/3", "valid number, got '4'"),
        (said(bbox=[9, 2, 3, 4]), "/decisions/0", "x1 < x2"),
        (said(bbox=[-1, 2, 3, 4]), "/decisions/0/bbox/0", "greater than or equal to 0"),
        (said(bbox=None), "/decisions/0", "bbox and phrase go together"),
        (said(phrase=None), "/decisions/0", "bbox and phrase go together"),
        (said(score=1.5), "/decisions/0/score", "less than or equal to 1, got 1.5"),
        (said(round=1.5), "/decisions/0/round", "valid integer"),
        (said(note="x"), "/decisions/0/note", "extra inputs are not permitted"),
        ({"image": "a.jpg"}, "/decisions/0/verdict", "required"),
        (7, "/decisions/0", "should be an object, got 7"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, decision: Any, pointer: str, words: str) -> None:
    path = write(tmp_path / "review.json", decision)
    with pytest.raises(DataError) as caught:
        read_review(path)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert problem.path == pointer
    assert words in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        '{"plan": "p", "decisions": 3}',
        '{"plan": "p", "plan": "q", "decisions": []}',
        '{"plan": "p", "decisions": [{"image": "a.jpg", "verdict": "keep", "verdict": "reject"}]}',
        '{"plan": "p", "decisions": [{"image": "a.jpg", "bbox": [0, 0, 1, NaN], "phrase": "x", "verdict": "keep"}]}',
        '{"plan": "p", "decisions": [{"image": "a.jpg", "bbox": [0, 0, 1, 1e999], "phrase": "x", "verdict": "keep"}]}',
        '{"decisions": []}',
        "[" * 100_000,
        '{"plan": "\\ud800", "decisions": []}',
    ],
)
def test_what_is_no_review_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "review.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"review\.json"):
        read_review(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "review.json"
    path.write_bytes(b'{"plan": "\xff", "decisions": []}')
    with pytest.raises(DataError, match="not a review"):
        read_review(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_review(tmp_path / "review.json")


def test_many_faults_end_in_a_count(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_review(write(tmp_path / "review.json", *[said("x")] * 30))
    assert len(caught.value.problems) == 21
    assert "10 more" in caught.value.problems[-1].message


def test_a_new_decision_replaces_the_old_one_about_the_same_box() -> None:
    moved = [2.0, 2, 30, 41]
    old = review(said("keep"), said("reject", bbox=[50, 50, 60, 60]), said("keep", phrase="dot"))
    new = review(said("reject", bbox=moved), plan="q")
    joined = merge_reviews(old, new)
    assert joined.plan == "q"
    assert {(one.phrase, one.bbox, one.verdict) for one in joined.decisions} == {
        ("cell", tuple(moved), "reject"),
        ("cell", (50, 50, 60, 60), "reject"),
        ("dot", tuple(BOX), "keep"),
    }


def test_neighbours_that_were_both_decided_stay_two() -> None:
    near = [2.0, 2, 30, 41]
    old = review(said("keep"), said("keep", bbox=near))
    joined = merge_reviews(old, review(said("keep"), said("reject", bbox=near)))
    assert [(list(one.bbox or ()), one.verdict) for one in joined.decisions] == [(BOX, "keep"), (near, "reject")]


def test_forget_removes_a_decision() -> None:
    whole = {"image": "a.jpg", "verdict": "reject"}
    old = review(said("keep"), whole)
    assert merge_reviews(old, review(said("forget"), {**whole, "verdict": "forget"})).decisions == ()
    assert merge_reviews(old, review(said("forget"))).decisions == review(whole).decisions


def test_decisions_on_other_rows_are_untouched_and_the_last_word_counts() -> None:
    old = review(said("keep", image="b.jpg"), said("keep", caption_index=1))
    joined = merge_reviews(old, review(said("keep"), said("reject")))
    assert [(one.row, one.verdict) for one in joined.decisions] == [
        (("a.jpg", 0), "reject"),
        (("a.jpg", 1), "keep"),
        (("b.jpg", 0), "keep"),
    ]


def test_joining_twice_changes_nothing() -> None:
    once = merge_reviews(review(said("keep")), review(said("reject", bbox=[2.0, 2, 30, 41])))
    assert merge_reviews(once, once) == once
    assert merge_reviews(once, Review(plan="p")) == once
