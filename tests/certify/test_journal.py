"""A certificate's journal and folder that somebody else has written: refused by name, never taken for ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.certify.drawing import CertificateRequest
from autolabel.certify.opening import begun
from autolabel.errors import BusyError, DataError
from autolabel.registry import Registry
from autolabel.results.chain import Chain, told
from autolabel.results.store import RunStore
from autolabel.review.certify import CertificateDesk
from autolabel.review.start import open_session
from autolabel.run.outputs import report_run
from tests.certify.true_run import Truth

Make = Callable[..., Truth]
HUGE = int("9" * 400)


def journal(run: Truth) -> Path:
    return run.root / "certificate" / "journal.jsonl"


def change(run: Truth, line: int, **values: Any) -> None:
    lines = [json.loads(text) for text in journal(run).read_text().splitlines()]
    lines[line][next(iter(lines[line]))].update(values)
    rewrite(run, lines)


def rewrite(run: Truth, entries: list[dict[str, Any]]) -> None:
    """Write a journal with the sums that fit it, as a forger does."""
    links = Chain()
    lines = [json.dumps({name: one[name] for name in one if name not in ("after", "sum")}) for one in entries]
    journal(run).write_bytes(b"".join(links.link(line.encode()) + b"\n" for line in lines))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"K": "x"}, "K"),
        ({"K": HUGE}, "K"),
        ({"K": -1}, "K"),
        ({"class_K": {"red": []}}, "class_K"),
        ({"confidence": 5}, "confidence"),
        ({"confidence": "x"}, "confidence"),
        ({"confidence": HUGE}, "confidence"),
        ({"confidence": float("nan")}, "NaN"),
        ({"limits": 5}, "limits"),
        ({"limits": {}}, "limits"),
        ({"limits": {"filter": {"weight": 1}, "thresholds": {}}}, "limits.filter"),
        ({"limits": {"filter": {}, "thresholds": {"red": "x"}}}, "limits.thresholds"),
        ({"audit": None}, "audit"),
        ({"own_thresholds": "x"}, "own_thresholds"),
        ({"review": 5}, "review"),
        ({"plan": 5}, "plan"),
    ],
)
def test_a_draw_that_no_certificate_writes_is_named(make_run: Make, values: dict[str, Any], said: str) -> None:
    run = make_run(6)
    run.certify("--json")
    change(run, 0, **values)
    with pytest.raises(DataError) as caught:
        run.certify("--json")
    assert f"{journal(run)}:1:1" in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"chosen": [1]}, {"chosen": ["x"]}, {"chosen": 5}, {"number": "x"}, {"number": 2}, {"seed": 5}]
)
def test_a_round_that_no_certificate_writes_is_named(make_run: Make, values: dict[str, Any]) -> None:
    run = make_run(6)
    run.certify("--json")
    change(run, 1, **values)
    with pytest.raises(DataError, match=r"journal\.jsonl:2:1: damaged"):
        run.certify("--json")


@pytest.mark.parametrize(
    "line",
    [
        '{"draw":5}',
        '{"draw":{}}',
        '{"round":5}',
        '{"round":{}}',
        '{"wanted":5}',
        '{"wanted":{"precision":"x","recall":null,"by_class":false,"budget":null}}',
        '{"wanted":{"precision":NaN,"recall":null,"by_class":false,"budget":null}}',
        '{"wanted":{"other":1}}',
        '{"shown":5}',
        '{"shown":[5]}',
        '{"shown":["b"]}',
        '{"answer":{"id":"x","verdict":"yes"}}',
        '{"answer":{"id":"IMAGE","missed":[{"point":[HUGE,0]}]}}',
        '{"answer":{"id":"IMAGE","verdict":"yes"}}',
        '{"answer":{"id":"BOX","missed":1}}',
        '{"other":1}',
        "[]",
        "nothing",
    ],
)
def test_a_line_that_no_certificate_writes_is_named(make_run: Make, line: str) -> None:
    run = make_run(6)
    units = run.certify("--next", "30", "--json")
    number = len(journal(run).read_text().splitlines()) + 1
    links, text = Chain(), line.replace("IMAGE", units[-1]["id"]).replace("BOX", units[0]["id"])
    links.last = told(journal(run).read_bytes().splitlines()[-1])
    with journal(run).open("ab") as stream:
        stream.write(links.link(text.replace("HUGE", str(HUGE)).encode()) + b"\n")
    with pytest.raises(DataError) as caught:
        run.certify("--json")
    assert f"{journal(run)}:{number}:1" in str(caught.value)


@pytest.mark.parametrize("left", [[0], [1], [1, 0], [0, 0, 1]])
def test_a_journal_whose_lines_are_out_of_place_is_refused(make_run: Make, left: list[int]) -> None:
    run = make_run(6)
    run.certify("--json")
    lines = journal(run).read_text().splitlines(keepends=True)
    journal(run).write_text("".join(lines[number] for number in left))
    with pytest.raises(DataError, match=r"journal\.jsonl:\d:1: damaged"):
        run.certify("--json")


@pytest.mark.parametrize(
    "missed",
    [HUGE, [[HUGE, 0]], [{"point": [0, -HUGE]}], [{"bbox": [0, 0, HUGE, 5]}], [[float("nan"), 0]], [[float("inf"), 0]]],
)
def test_numbers_beyond_every_image_are_refused(make_run: Make, missed: Any) -> None:
    run = make_run(6)
    image = run.certify("--next", "30", "--json")[-1]
    with pytest.raises(DataError, match=r"answers\.jsonl:1:1"):
        run.certify("--answers", run.save([{"id": image["id"], "missed": missed}]))


@pytest.mark.parametrize("words", [["--next", "1"], ["--json"], ["--mend"]])
@pytest.mark.parametrize("kind", ["folder", "file in it", "file"])
def test_a_folder_that_is_a_link_is_refused(make_run: Make, words: list[str], kind: str) -> None:
    run = make_run(6)
    other = run.root.parent / "other"
    other.mkdir()
    folder = run.root / "certificate"
    if kind == "folder":
        folder.symlink_to(other)
    elif kind == "file in it":
        folder.mkdir()
        (folder / "journal.jsonl").symlink_to(other / "journal.jsonl")
    else:
        folder.write_text("precious")
    if words == ["--mend"] and not begun(RunStore(run.root)):
        return
    with pytest.raises(BusyError, match="certificate") as caught:
        run.certify(*words)
    assert caught.value.exit_code == 5
    assert not list(other.iterdir())


def test_a_link_to_another_certificate_changes_nothing_in_it(make_run: Make) -> None:
    run, other = make_run(6), make_run(6, name="other")
    other.check(5)
    before = {path: path.read_bytes() for path in (other.root / "certificate").iterdir()}
    (run.root / "certificate").symlink_to(other.root / "certificate")
    for words in (["--next", "1"], ["--json"], ["--mend"], ["--redraw"]):
        with pytest.raises(BusyError, match="certificate: is a link"):
            run.certify(*words)
    assert {path: path.read_bytes() for path in (other.root / "certificate").iterdir()} == before


def test_a_persons_own_folder_is_not_written_into(make_run: Make) -> None:
    run = make_run(6)
    (run.root / "certificate").mkdir()
    (run.root / "certificate" / "diploma.pdf").write_text("precious")
    with pytest.raises(BusyError, match=r"diploma\.pdf"):
        run.certify("--json")
    assert [path.name for path in (run.root / "certificate").iterdir()] == ["diploma.pdf"]


@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize(
    "name",
    ["certificate/journal.jsonl", "certificate/review.json", "review.json", "outputs.json", "scores.json"],
)
def test_nothing_waits_for_a_pipe_or_reads_without_end(make_run: Make, name: str, kind: str) -> None:
    from autolabel.plan import plan_file
    from autolabel.results.score_curves import read_chances

    run = make_run(6)
    run.certify("--json")
    path = run.root / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((DataError, BusyError), match=path.name):
        if name == "scores.json":
            read_chances(RunStore(run.root), plan_file.read_plan(run.root / "plan.json"))
        else:
            run.certify("--json")


def test_no_certificate_is_read_through_a_linked_folder(make_run: Make, tmp_path: Path) -> None:
    run = make_run(6)
    run.certify("--json")
    (run.root / "certificate").rename(tmp_path / "elsewhere")
    (run.root / "certificate").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BusyError, match="certificate: is a link"):
        report_run(run.root)


def test_the_page_asks_nothing_about_images_that_it_may_not_show(make_run: Make, registry: Registry) -> None:
    run = make_run(4)
    (run.root / ".seal").unlink()
    session = open_session(run.root, registry=registry, model=False)
    desk = CertificateDesk(session, CertificateRequest())
    for ask in (desk.work, desk.state):
        with pytest.raises(DataError, match="the folders of its images are unknown on this machine"):
            ask()
    assert desk.close() is None and not journal(run).exists()
    session.index.close()
