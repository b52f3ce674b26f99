"""The journal: what was confirmed is there after any end, and what stands is the same however it is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from autolabel.errors import DataError, MachineError
from autolabel.results import failpoints
from autolabel.results.decision import Decision, Review, encode_line, encode_review, review_schema
from autolabel.results.journal import Journal, read_decisions
from autolabel.results.store import RunStore
from autolabel.types import Rle

BOX = (1.0, 2.0, 30.0, 40.0)


def said(verdict: str = "keep", *, image: str = "a.jpg", **fields: Any) -> Decision:
    return Decision.model_validate({"image": image, "bbox": BOX, "phrase": "cell", "verdict": verdict, **fields})


def action(*decisions: Decision, **fields: Any) -> Review:
    return Review(version=2, plan="p", decisions=decisions, **fields)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def test_what_is_appended_stands_and_is_read_again(store: RunStore) -> None:
    journal = Journal(store)
    journal.append(action(said("keep"), id="1", reviewer="ann", time="2026-01-01T00:00:00+00:00"))
    journal.append(action(said("reject"), said("keep", image="b.jpg"), id="2", reviewer="bob"))
    journal.append(action(said("forget", image="b.jpg"), id="3"))
    again = Journal(store)
    assert again.rows == journal.rows
    [one] = again.decisions().decisions
    assert (one.verdict, one.reviewer) == ("reject", "bob")
    assert [json.loads(line).get("reviewer") for line in store.journal.read_bytes().splitlines()] == [
        "ann",
        "bob",
        None,
    ]


def test_every_line_and_the_checkpoint_keep_to_the_schema(store: RunStore) -> None:
    journal = Journal(store)
    mask = {"size": (2, 2), "counts": Rle.encode(np.ones((2, 2), bool)).counts}
    journal.append(action(said(becomes={"bbox": (1.0, 2.0, 3.0, 4.0), "mask": mask}), id="1"))
    journal.append(action(Decision(image="b.jpg", verdict="checked"), id="2", undoes="1"))
    journal.checkpoint()
    for text in (*store.journal.read_bytes().splitlines(), store.review.read_bytes()):
        jsonschema.validate(json.loads(text), review_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"version": 2, "plan": "p", "decisions": [{"image": "a", "verdict": "perhaps"}]}, review_schema()
        )


def test_a_checkpoint_changes_nothing_that_stands(store: RunStore) -> None:
    journal = Journal(store)
    journal.append(action(said("keep"), id="1"))
    journal.checkpoint()
    journal.append(action(said("reject"), id="2"))
    before = journal.decisions()
    assert read_decisions(store) == before
    journal.checkpoint()
    assert read_decisions(store) == before
    store.review.unlink()
    assert read_decisions(store) == before


def test_a_review_that_was_put_there_by_hand_is_older_than_the_journal(store: RunStore) -> None:
    Journal(store).append(action(said("reject"), id="1"))
    store.review.write_bytes(encode_review(action(said("keep"), said("keep", image="b.jpg"))))
    standing = read_decisions(store)
    assert standing is not None
    assert [(one.image, one.verdict) for one in standing.decisions] == [("a.jpg", "reject"), ("b.jpg", "keep")]


def test_nobody_has_decided_anything(store: RunStore) -> None:
    assert read_decisions(store) is None
    assert not Journal(store)


def test_two_who_append_see_each_other(store: RunStore) -> None:
    one, other = Journal(store), Journal(store)
    one.append(action(said("keep"), id="1"))
    assert [action.id for action in other.append(action(said("reject"), id="2"))] == ["1"]
    assert [action.id for action in one.follow()] == ["2"]
    assert one.rows == other.rows == Journal(store).rows


def test_an_action_that_is_sent_twice_counts_once(store: RunStore) -> None:
    journal = Journal(store)
    for _ in range(2):
        journal.append(action(said("keep"), id="1"))
    assert store.journal.read_bytes().count(b"\n") == 1


def test_a_torn_line_was_never_confirmed(store: RunStore) -> None:
    Journal(store).append(action(said("keep"), id="1"))
    whole = store.journal.read_bytes()
    store.journal.write_bytes(whole + whole[: len(whole) // 2])
    journal = Journal(store)
    journal.append(action(said("keep", image="b.jpg"), id="2"))
    assert len(Journal(store).decisions().decisions) == 2
    assert store.journal.read_bytes().startswith(whole) and store.journal.read_bytes().count(b"\n") == 2


def test_a_damaged_line_is_named(store: RunStore) -> None:
    Journal(store).append(action(said("keep"), id="1"))
    with Path(str(store.journal)).open("ab") as stream:
        stream.write(b'{"version": 2}\n')
    with pytest.raises(DataError, match=r"review\.jsonl:2:1: .*no checksum"):
        Journal(store)


def test_lines_of_an_older_autolabel_have_no_sum_and_are_read_and_gone_on_from(store: RunStore) -> None:
    store.journal.write_bytes(encode_line(action(said("keep"), id="1")) + encode_line(action(said("reject"), id="2")))
    Journal(store).append(action(said("keep", image="b.jpg"), id="3"))
    Journal(store).append(action(said("keep", image="c.jpg"), id="4"))
    assert [(one.image, one.verdict) for one in Journal(store).decisions().decisions] == [
        ("a.jpg", "reject"),
        ("b.jpg", "keep"),
        ("c.jpg", "keep"),
    ]


def three(store: RunStore) -> list[bytes]:
    journal = Journal(store)
    for number, verdict in enumerate(("keep", "reject", "keep")):
        journal.append(action(said(verdict), said("keep", image=f"{number}.jpg"), id=str(number)))
    return store.journal.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[0], lines[1], lines[1], lines[2]],
        lambda lines: [lines[0], lines[2], lines[1]],
        lambda lines: [lines[0], lines[1].replace(b"reject", b"keep"), lines[2]],
        lambda lines: [lines[0], lines[1].replace(b"30.0", b"31.0"), lines[2]],
        lambda lines: [lines[0], lines[1].partition(b',"after"')[0] + b"}\n", lines[2]],
        lambda lines: [lines[0], b"\0" * (len(lines[1]) - 1) + b"\n", lines[2]],
    ],
)
def test_lines_that_are_lost_doubled_swapped_or_changed_are_named(store: RunStore, damage: Any) -> None:
    store.journal.write_bytes(b"".join(damage(three(store))))
    with pytest.raises(DataError, match=r"review\.jsonl:[23]:1: is damaged"):
        Journal(store)


def test_a_journal_that_was_cut_does_not_bring_old_decisions_back(store: RunStore) -> None:
    lines = three(store)
    Journal(store).checkpoint()
    store.journal.write_bytes(b"".join(lines[:2]))  # whole lines: the last decision is lost, one before it is not
    with pytest.raises(DataError, match=r"review\.jsonl: lines are missing or changed that review\.json"):
        Journal(store)


def test_a_journal_that_was_moved_away_begins_again_from_the_checkpoint(store: RunStore) -> None:
    three(store)
    standing = Journal(store).checkpoint()
    store.journal.unlink()
    assert Journal(store).decisions().decisions == standing.decisions
    journal = Journal(store)
    for number in range(2):
        journal.append(action(said("reject", image=f"new{number}.jpg"), id=f"new{number}"))
        assert len(Journal(store).decisions().decisions) == len(standing.decisions) + number + 1
    journal.checkpoint()
    assert len(Journal(store).decisions().decisions) == len(standing.decisions) + 2


def test_a_checkpoint_that_was_damaged_is_named(store: RunStore) -> None:
    three(store)
    Journal(store).checkpoint()
    store.review.write_bytes(store.review.read_bytes().replace(b"30.0", b"31.0", 1))
    with pytest.raises(DataError, match=r"review\.json: is damaged: its checksum"):
        Journal(store)


def test_a_journal_without_end_is_refused_before_it_is_read(store: RunStore) -> None:
    with Path(str(store.journal)).open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match="is larger than"):
        Journal(store)


def test_a_full_disk_leaves_nothing_of_an_action(store: RunStore) -> None:
    journal = Journal(store)
    journal.append(action(said("keep"), id="1"))
    before = store.journal.read_bytes()
    failpoints.arm("journal.written:full")
    try:
        with pytest.raises(MachineError, match="No space left"):
            journal.append(action(said("reject"), id="2"))
    finally:
        failpoints.arm("")
    assert store.journal.read_bytes() == before
    assert [one.verdict for one in journal.decisions().decisions] == ["keep"]
    journal.append(action(said("reject"), id="2"))
    assert [one.verdict for one in Journal(store).decisions().decisions] == ["reject"]


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from autolabel.results.decision import Decision, Review
    from autolabel.results.journal import Journal
    from autolabel.results.store import RunStore

    journal = Journal(RunStore(Path(sys.argv[1])))
    for number in range(int(sys.argv[2])):
        one = Decision(image=f"{sys.argv[3]}{number}", verdict="checked")
        journal.append(Review(version=2, plan="p", id=f"{sys.argv[3]}{number}", decisions=(one,)))
        print(number, flush=True)
    """
)


def write(folder: Path, count: int, name: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(count), name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("point", ["journal.writing", "journal.written", "journal.synced"])
def test_a_writer_that_is_killed_has_written_what_it_confirmed(tmp_path: Path, point: str) -> None:
    done = write(tmp_path, 5, "a", AUTOLABEL_FAILPOINT=f"{point}:kill:3")
    confirmed = done.communicate()[0].split()
    assert done.returncode != 0 and confirmed == ["0", "1"]
    images = {image for image, _ in Journal(RunStore(tmp_path)).rows}
    assert {"a0", "a1"} <= images <= {"a0", "a1", "a2"}


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    writers = [write(tmp_path, 25, name) for name in "abc"]
    assert [writer.communicate()[0].count("\n") for writer in writers] == [25] * 3
    assert len(Journal(RunStore(tmp_path)).rows) == 75
