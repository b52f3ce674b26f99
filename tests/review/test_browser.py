"""The review page in a real browser, served by the real command; skipped where Chromium or playwright is missing."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.results.journal import Journal
from autolabel.results.store import RunStore
from tests.review.page_visit import PHONE, Visit
from tests.web import Server


def standing(run: Path) -> dict[str, dict[Any, Any]]:
    return {image: said for (image, _), said in Journal(RunStore(run)).rows.items()}


def test_everything_by_keyboard(run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    server = serve("--order", "name", "--reviewer", "ann")
    here = visit(server.address)
    assert here.name() == "00.png" and here.boxes() == ["red", "blue"]
    here.keys("n", "y")
    here.page.wait_for_selector(".box.reject")
    here.page.wait_for_selector(".box.keep")
    here.keys("z")
    here.page.wait_for_selector(".box:not(.keep):not(.reject)")
    here.keys("3")
    here.mark("was blue")
    here.keys("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+Alt+ArrowRight")
    here.mark("moved")
    here.keys("Escape", "1", "b", "Enter")
    here.mark("added")
    here.keys("c")
    here.page.locator(".image-name", has_text="01.png").wait_for()
    here.keys("e")
    here.page.locator(".image-name", has_text="02.png").wait_for()
    here.keys("x", "ArrowRight", "ArrowLeft", "ArrowLeft")
    here.saved()
    said = standing(run)
    assert said["00.png"][None].verdict == "checked" and said["00.png"][None].reviewer == "ann"
    assert said["00.png"]["red", (2, 3, 20, 20)].verdict == "reject"
    changed = said["00.png"]["blue", (30, 30, 50, 60)].becomes
    assert changed.phrase == "green" and changed.bbox == (32, 31, 53, 61)
    [drawn] = [one for one in said["00.png"].values() if one.bbox and one.score is None]
    assert drawn.phrase == "red" and drawn.verdict == "keep"
    assert {one.verdict for one in said["01.png"].values()} == {"reject", "checked"}
    assert said["02.png"][None].verdict == "reject"
    server.stop()
    assert server.process.returncode == 0
    coco = json.loads((run / "coco" / "annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    classes = {category["id"]: category["name"] for category in coco["categories"]}
    found = sorted((names[one["image_id"]], classes[one["category_id"]]) for one in coco["annotations"])
    assert [one for one in found if one[0] < "03.png"] == [("00.png", "green"), ("00.png", "red")]
    assert "02.png" not in names.values()


def test_everything_by_mouse(run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    here = visit(serve("--order", "name").address)
    here.page.mouse.click(*here.at(40, 45))
    here.page.wait_for_selector(".box[aria-current=true] >> text=blue")
    here.drag((40, 45), (44, 46))
    here.mark("moved")
    here.drag((54, 61), (60, 63))
    here.saved()
    here.page.locator(".palette button", has_text="green").click()
    here.mark("was blue")
    here.page.locator(".palette button", has_text="red").click()
    here.page.get_by_role("button", name="Draw").click()
    here.drag((3, 40), (13, 55))
    here.mark("added")
    here.page.get_by_role("button", name="Reject").click()
    here.mark("added", "detached")
    here.page.get_by_role("button", name="Undo").click()
    here.mark("added")
    here.page.get_by_role("button", name="Checked", exact=False).last.click()
    here.page.wait_for_selector(".row.state-2")
    here.saved()
    said = standing(run)["00.png"]
    becomes = said["blue", (30, 30, 50, 60)].becomes
    assert becomes.phrase == "red" or becomes.phrase == "green"
    assert max(abs(a - b) for a, b in zip(becomes.bbox, (34, 31, 60, 63), strict=True)) < 0.6
    [drawn] = [one for one in said.values() if one.bbox and one.score is None]
    assert max(abs(a - b) for a, b in zip(drawn.bbox, (3, 40, 13, 55), strict=True)) < 0.6


def test_by_touch_on_a_phone(run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    here = visit(serve("--order", "name").address, **PHONE)
    here.page.touchscreen.tap(*here.at(40, 45))
    here.page.get_by_role("button", name="Reject").tap()
    here.page.wait_for_selector(".box.reject", state="attached")
    here.page.get_by_role("button", name="Checked", exact=False).last.tap()
    here.page.wait_for_selector(".row.state-2", state="attached")
    here.saved()
    assert standing(run)["00.png"]["blue", (30, 30, 50, 60)].verdict == "reject"


def test_two_tabs_and_two_reviewers(run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    ann, bob = serve("--order", "name", "--reviewer", "ann"), serve("--order", "name", "--reviewer", "bob")
    first, second, third = visit(ann.address), visit(ann.address), visit(bob.address)
    first.keys("n")
    first.saved()
    for other in (second, third):
        other.page.wait_for_selector(".box.reject")
    third.page.locator(".box").first.click()
    third.keys("y")
    third.saved()
    for other in (first, second):
        other.page.wait_for_selector(".box.keep[title*=bob]")
    assert standing(run)["00.png"]["red", (2, 3, 20, 20)].reviewer == "bob"
    assert len((run / "review.jsonl").read_text().splitlines()) == 2, "both are in the history"


def test_a_closed_tab_and_a_reload_lose_nothing(
    run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]
) -> None:
    server = serve("--order", "name")
    here = visit(server.address)
    here.keys("n")
    here.saved()
    here.page.reload()
    here.page.wait_for_selector(".box.reject")
    here.keys("z")
    here.page.wait_for_selector(".box.reject", state="detached")
    here.keys("y")
    here.saved()
    here.context.close()
    assert visit(server.address).page.locator(".box.keep").count() == 1


def test_what_is_not_saved_is_said_and_sent_again(
    run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]
) -> None:
    server = serve("--order", "name")
    here = visit(server.address)
    server.process.send_signal(signal.SIGSTOP)
    here.keys("n")
    here.page.wait_for_selector("#saved.busy", state="attached")
    assert standing(run) == {}
    server.process.send_signal(signal.SIGCONT)
    here.page.wait_for_selector(".box.reject")
    here.saved()
    server.stop(signal.SIGKILL)
    here.keys("y")
    here.page.get_by_role("alert").get_by_text("not saved").wait_for()
    assert here.page.locator(".box.keep").count() == 0


def test_what_is_done_while_saving_is_slow_speaks_of_what_was_shown(
    run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]
) -> None:
    server = serve("--order", "name")
    here = visit(server.address)
    server.process.send_signal(signal.SIGSTOP)
    here.page.locator(".boxes .box").nth(0).click()
    here.keys("n")
    here.page.locator(".boxes .box").nth(1).click()
    here.keys("Shift+ArrowRight", "n", "Escape", "3", "b")
    here.drag((3, 40), (13, 55))
    here.keys("1", "Escape", "2", "b")
    here.drag((40, 5), (55, 20))
    here.keys("c")
    here.page.wait_for_selector("#saved.busy", state="attached")
    assert standing(run) == {}
    server.process.send_signal(signal.SIGCONT)
    here.page.locator(".image-name", has_text="01.png").wait_for()
    here.saved()
    said = standing(run)
    assert set(said) == {"00.png"} and said["00.png"][None].verdict == "checked"
    found = {key[1]: one for key, one in said["00.png"].items() if key}
    assert [found[place].verdict for place in ((2, 3, 20, 20), (30, 30, 50, 60))] == ["reject", "reject"]
    drawn = sorted((one.phrase, one.final_phrase) for one in found.values() if one.score is None)
    assert drawn == [("blue", "blue"), ("green", "red")]


def confirmed_until_killed(server: Server, here: Visit, moves: list[str], after: float) -> set[str]:
    """Press keys while the server is killed after a time; return the changes that the page was told are on disk."""
    confirmed: set[str] = set()

    def note(response: Any) -> None:
        if response.url.endswith("/decide") and response.status == 200:
            confirmed.add(json.loads(response.request.post_data)["id"])

    here.page.on("response", note)
    kill = subprocess.Popen(["sh", "-c", f"sleep {after}; kill -9 {server.process.pid}"])
    for move in moves:
        here.keys(move)
        here.page.wait_for_timeout(30)
        if kill.poll() is not None:
            break
    kill.wait()
    server.stop(signal.SIGKILL)
    here.keys("x")
    here.page.locator("#saved.bad").wait_for(state="attached")
    return confirmed


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak), pytest.param(3, marks=pytest.mark.soak)])
def test_a_server_killed_at_random_loses_nothing(
    run: Path, serve: Callable[..., Server], visit: Callable[..., Visit], seed: int
) -> None:
    drawn = random.Random(seed)
    confirmed: set[str] = set()
    for _ in range(4 if seed == 1 else 12):
        server = serve("--order", "name")
        here = visit(server.address)
        confirmed |= confirmed_until_killed(server, here, drawn.choices("ynynyncz", k=60), drawn.uniform(0.1, 1.5))
        Journal(RunStore(run))  # reads it all, or says what is wrong
        written = [json.loads(line)["id"] for line in (run / "review.jsonl").read_bytes().splitlines()]
        assert confirmed <= set(written) and len(written) == len(set(written))
    assert len(confirmed) > 4
