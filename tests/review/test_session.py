"""A session: rows as they stand, decisions on disk, undo, two tabs, two reviewers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.errors import BusyError, DataError
from autolabel.registry import Registry
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import Ledger
from autolabel.results.review import apply_to_row
from autolabel.results.store import RunStore, finished
from autolabel.results.written import read_written
from autolabel.review import changes
from autolabel.review.row_index import RowIndex
from autolabel.review.session import ReviewSession
from autolabel.review.start import hand_out, limit_to_images, limit_to_sample
from autolabel.types import Labels, Rle

RED = ("red", (2.0, 3.0, 20.0, 20.0))
BLUE = ("blue", (30.0, 30.0, 50.0, 60.0))
NUMBER = iter(range(10**8, 10**9))


def ask(session: ReviewSession, *steps: dict[str, Any], row: int = 0, tab: str = "t", **whole: Any) -> dict[str, Any]:
    request = {
        "id": str(next(NUMBER)),
        "tab": tab,
        "row": row,
        "image": session.index.name(row),
        "changes": steps,
        **whole,
    }
    return session.decide(changes.Request.model_validate(request))


def step(do: str, key: tuple[str, Any] = RED, **to: Any) -> dict[str, Any]:
    return {"phrase": key[0], "bbox": key[1], "do": do, **to}


def exported(session: ReviewSession, row: int = 0) -> list[tuple[str, list[float]]]:
    """What the run hands out of a row."""
    review = read_decisions(session.store)
    labels: Labels = list(Ledger(session.store.labels))[row]
    applied = apply_to_row(labels, review, classes=session.plan.manifest.classes) if review else labels
    names = [applied.prompt.phrases[label] for label in applied.instances.labels]
    return sorted(zip(names, applied.instances.boxes.tolist(), strict=True))


def test_a_row_is_told_as_it_stands(session: ReviewSession) -> None:
    told = session.row_json(0)
    assert told["image"] == "00.png" and (told["width"], told["height"]) == (64, 64)
    assert [(box["phrase"], tuple(box["bbox"]), box["verdict"]) for box in told["boxes"]] == [
        (*RED, None),
        (*BLUE, None),
    ]


def test_every_kind_of_change_arrives_in_what_is_handed_out(session: ReviewSession) -> None:
    ask(session, step("keep", to_bbox=(4, 3, 24, 22)))
    ask(session, step("keep", BLUE, to_phrase="green"))
    ask(session, step("draw", ("blue", (0, 40, 10, 50))))
    assert exported(session) == [("blue", [0, 40, 10, 50]), ("green", list(BLUE[1])), ("red", [4, 3, 24, 22])]
    ask(session, step("reject", BLUE))
    ask(session, step("keep", ("blue", (0, 40, 10, 50)), to_bbox=(1, 41, 11, 51), to_phrase="red"))
    assert exported(session) == [("red", [1, 41, 11, 51]), ("red", [4, 3, 24, 22])]
    ask(session, step("reject", ("blue", (0, 40, 10, 50))))
    assert exported(session) == [("red", [4, 3, 24, 22])]
    ask(session, step("forget"))
    ask(session, step("forget", BLUE))
    assert exported(session) == [("blue", list(BLUE[1])), ("red", list(RED[1]))]


def test_whole_images(session: ReviewSession) -> None:
    told = ask(session, step("reject", BLUE), whole="checked")
    assert [box["verdict"] for box in told["boxes"]] == ["keep", "reject"] and told["verdict"] == "checked"
    assert told["progress"] == {"rows": 6, "checked": 1, "left_out": 0, "touched": 0}
    assert exported(session) == [("red", list(RED[1]))]
    assert ask(session, whole="nothing", row=1)["progress"]["checked"] == 2
    assert exported(session, 1) == []
    assert ask(session, whole="reject", row=2)["progress"]["left_out"] == 1
    ask(session, whole="forget", row=2)
    assert len(exported(session, 2)) == 2
    told = ask(session, step("forget", BLUE))
    assert told["verdict"] is None, "a box is open again, so the image is not checked"


def test_undo_and_redo_are_a_tabs_own(session: ReviewSession) -> None:
    ask(session, step("reject"), tab="one")
    ask(session, step("keep", to_bbox=(4, 3, 24, 22), key=BLUE), tab="two")
    ask(session, whole="checked", row=1, tab="one")
    told = session.undo("one")
    assert told is not None and told["row"] == 1 and told["verdict"] is None
    assert session.undo("one") is not None
    assert session.undo("one") is None
    assert exported(session) == [("blue", [4, 3, 24, 22]), ("red", list(RED[1]))]
    assert session.redo("one") is not None and session.redo("one") is not None and session.redo("one") is None
    assert exported(session) == [("blue", [4, 3, 24, 22])]
    assert session.view(1).verdict == "checked"
    session.undo("one")
    ask(session, step("keep"), tab="one")
    assert session.redo("one") is None, "something else was done since"


def test_undo_and_redo_outlive_the_server(open_session: Callable[..., ReviewSession]) -> None:
    first = open_session(reviewer="ann")
    ask(first, step("reject"))
    ask(first, step("keep", to_bbox=(4, 3, 24, 22), key=BLUE))
    ask(first, whole="checked", row=1)
    assert first.undo("t") is not None
    first.checkpoint()
    again = open_session(reviewer="ann")
    assert again.redo("new tab") is not None and again.view(1).verdict == "checked"
    assert again.undo("new tab") is not None and again.view(1).verdict is None
    told = again.undo("new tab")
    assert told is not None and told["row"] == 0
    assert exported(again) == [("blue", list(BLUE[1]))]
    assert again.undo("new tab") is not None and again.undo("new tab") is None
    assert exported(again) == [("blue", list(BLUE[1])), ("red", list(RED[1]))]
    third = open_session(reviewer="ann")
    assert third.undo("t") is None, "all that was done has been taken back"
    assert third.redo("t") is not None and exported(third) == [("blue", list(BLUE[1]))]


def test_nobody_takes_back_what_another_reviewer_did_before(open_session: Callable[..., ReviewSession]) -> None:
    ask(open_session(reviewer="ann"), step("reject"))
    assert open_session(reviewer="bob").undo("tab") is None


def test_an_earlier_action_is_not_taken_back_where_its_box_was_decided_anew(
    open_session: Callable[..., ReviewSession],
) -> None:
    ask(open_session(reviewer="ann"), step("reject"))
    ask(open_session(reviewer="bob"), step("keep"))
    with pytest.raises(BusyError, match="someone has changed"):
        open_session(reviewer="ann").undo("tab")


def test_nothing_is_undone_that_somebody_has_changed_since(open_session: Callable[..., ReviewSession]) -> None:
    ann, bob = open_session(reviewer="ann"), open_session(reviewer="bob")
    ask(ann, step("reject"))
    ask(bob, step("keep"))
    with pytest.raises(BusyError, match="someone has changed"):
        ann.undo("t")
    assert exported(ann) == [("blue", list(BLUE[1])), ("red", list(RED[1]))]
    [red, _] = ann.row_json(0)["boxes"]
    assert (red["verdict"], red["reviewer"]) == ("keep", "bob")
    history = [json.loads(line) for line in (ann.store.root / "review.jsonl").read_bytes().splitlines()]
    assert [(one["reviewer"], one["decisions"][0]["verdict"]) for one in history] == [
        ("ann", "reject"),
        ("bob", "keep"),
    ]


def test_a_tab_hears_of_another(open_session: Callable[..., ReviewSession]) -> None:
    ann, bob = open_session(), open_session()
    before = ann.news(0)["changes"]
    ask(bob, step("reject", BLUE), row=3)
    news = ann.news(before)
    assert news["rows"] == [3]
    assert ann.news(news["changes"])["rows"] == []


def test_the_same_request_twice_is_one_decision(session: ReviewSession) -> None:
    request = {
        "id": "same-request",
        "tab": "t",
        "row": 0,
        "image": "00.png",
        "changes": [step("draw", ("red", (1, 1, 9, 9)))],
    }
    for _ in range(2):
        session.decide(changes.Request.model_validate(request))
    assert len((session.store.root / "review.jsonl").read_bytes().splitlines()) == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (step("keep", ("red", (0, 0, 1, 1))), "no longer exists"),
        (step("keep", to_phrase="yellow"), "'yellow' is not a class of this run"),
        (step("keep", to_bbox=(0, 0, 65, 10)), "must lie inside the image of 64x64"),
        (step("keep", to_bbox=(9, 9, 9, 10)), "must lie inside"),
        (step("draw", ("yellow", (0, 0, 5, 5))), "'yellow' is not a class"),
        (step("mask_accept"), "has no mask"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    session: ReviewSession, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        ask(session, asked)
    assert not session.journal


def test_a_page_of_other_labels_is_refused(session: ReviewSession) -> None:
    request = {"id": "12345678", "tab": "t", "row": 0, "image": "01.png", "whole": "checked"}
    with pytest.raises(DataError, match="load the page again"):
        session.decide(changes.Request.model_validate(request))


def test_labels_that_are_written_anew_end_the_review(session: ReviewSession) -> None:
    ledger = Path(str(session.store.root)) / "labels.jsonl"
    ledger.with_suffix(".new").write_bytes(ledger.read_bytes())
    ledger.with_suffix(".new").replace(ledger)
    with pytest.raises(BusyError, match="rewritten"):
        ask(session, step("keep"))


class Masks:
    """A mask stage that fills boxes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def mask(self, labels: Labels, phrase: str, box: Any) -> Rle:
        self.asked.append((phrase, box))
        mask = np.zeros(labels.image.size, bool)
        x1, y1, x2, y2 = (int(value) for value in box)
        mask[y1:y2, x1:x2] = True
        return Rle.encode(mask)


def test_a_moved_box_gets_its_mask_in_the_same_step(open_session: Callable[..., ReviewSession]) -> None:
    session = open_session(masks=Masks())
    request = {"id": "moved-it-1", "tab": "t", "row": 0, "image": "00.png"}
    session.decide(changes.Request.model_validate({**request, "changes": [step("keep", to_bbox=(4, 3, 24, 22))]}))
    told = session.segment(0, "00.png", RED, tab="t", follows="moved-it-1")
    assert told["boxes"][0]["mask"].startswith("M")
    review = read_decisions(session.store)
    assert review is not None
    found = apply_to_row(next(iter(Ledger(session.store.labels))), review).instances
    assert found.masks is not None and found.masks[0] is None
    assert found.masks[1] is not None and found.masks[1].bounds() == (4, 3, 24, 22)
    ask(session, step("mask_reject"))
    assert session.row_json(0)["boxes"][0]["mask"] is None
    session.undo("t")
    assert session.row_json(0)["boxes"][0]["mask"]
    ask(session, step("keep", to_phrase="green"))
    assert session.row_json(0)["boxes"][0]["mask"], "a reclassified box keeps its mask"
    session.undo("t")
    undone, redone = session.undo("t"), session.redo("t")
    assert undone is not None and undone["boxes"][0]["verdict"] is None and undone["boxes"][0]["mask"] is None
    assert redone is not None and redone["boxes"][0]["mask"], "both come back"


def test_what_was_handed_out_is_marked_then_written_again(session: ReviewSession, registry: Registry) -> None:
    coco = Path(str(session.store.root)) / "coco" / "annotations.json"
    before = coco.read_bytes()
    ask(session, step("reject"))
    written = read_written(RunStore(session.store.root))
    assert written is not None and not written.outputs["coco"].current
    assert hand_out(session, registry=registry) == 1
    written = read_written(RunStore(session.store.root))
    assert written is not None and written.outputs["coco"].current
    assert len(json.loads(coco.read_text())["annotations"]) == len(json.loads(before)["annotations"]) - 1


def test_a_list_of_images(session: ReviewSession) -> None:
    limit_to_images(session, ["04.png", "01.png"], file="list.txt")
    assert session.images == [4, 1]
    with pytest.raises(DataError) as caught:
        limit_to_images(session, ["04.png", "0l.png"], file="list.txt")
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == ("list.txt", 2) and "'0l.png' is not an image" in problem.message


def test_a_sample_is_the_same_for_its_name(open_session: Callable[..., ReviewSession]) -> None:
    one, other = open_session(), open_session()
    limit_to_sample(one, "pilot", 3)
    limit_to_sample(other, "pilot", 3)
    assert one.images == other.images and len(set(one.images or ())) == 3
    limit_to_sample(other, "second", 6)
    assert sorted(other.images or ()) == list(range(6))


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], *lines],
        lambda lines: lines[:-1],
        lambda lines: [*lines[:2], b'{"image":5}\n', *lines[3:]],
    ],
)
def test_rows_that_are_swapped_doubled_missing_or_none_are_told(run: Path, damage: Callable[..., list[bytes]]) -> None:
    store, plan = finished(run)
    store.labels.write_bytes(b"".join(damage(store.labels.read_bytes().splitlines(keepends=True))))
    index = RowIndex(store.labels, plan.manifest.classes, rows=plan.manifest.rows)
    index.build()
    with pytest.raises(DataError, match=r"labels\.jsonl: cannot be read"):
        index.wait(seconds=5)
    index.close()


def test_a_row_that_no_run_writes_is_told_where_it_is_shown(run: Path) -> None:
    store, plan = finished(run)
    text = store.labels.read_bytes()
    store.labels.write_bytes(text.replace(b'"caption":null', b'"caption":7', 1))
    index = RowIndex(store.labels, plan.manifest.classes, rows=plan.manifest.rows)
    index.build()
    with pytest.raises(DataError, match=r"labels\.jsonl:1:1: .*caption"):
        index.labels(0)
    index.close()
