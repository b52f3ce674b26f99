"""``autolabel review``: its options, and the exports when the page is closed."""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli import app
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.review import serve as serving
from autolabel.review import start
from autolabel.review.changes import Request
from autolabel.review.session import ReviewSession
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

Cli = Callable[..., tuple[int, str, str]]


class Page:
    """Takes the place of the server: looks at the first list, and rejects a box."""

    def __init__(self) -> None:
        self.modes: list[str] = []
        self.images: list[str] = []
        self.total = 0
        self.reviewer: str | None = None
        self.rejects = True

    def serve(
        self, session: ReviewSession, *, port: int, modes: Sequence[Any], query: Any, started: Callable[[str], None]
    ) -> None:
        session.index.build()
        self.modes = [mode.name for mode in modes]
        listed = session.rows("first", query, start=0, count=50)
        self.images, self.total = [row["image"] for row in listed["rows"]], listed["total"]
        started(f"http://127.0.0.1:{port}/token/")
        if not self.rejects:
            raise KeyboardInterrupt
        box = session.row_json(0)["boxes"][0]
        change = {"phrase": box["phrase"], "bbox": box["bbox"], "do": "reject"}
        request = {"id": "12345678", "tab": "t", "row": 0, "image": session.index.name(0), "changes": [change]}
        session.decide(Request.model_validate(request))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    made = Page()
    monkeypatch.setattr(serving, "serve", made.serve)
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    return addresses


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, opened: list[str]) -> Iterator[Cli]:
    sessions: list[ReviewSession] = []
    open_session = start.open_session

    def recorded(*arguments: Any, **options: Any) -> ReviewSession:
        sessions.append(open_session(*arguments, **options))
        return sessions[-1]

    monkeypatch.setattr(start, "open_session", recorded)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["autolabel", "review", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    yield run
    for session in sessions:
        session.index.close()


@pytest.fixture
def run(tmp_path: Path, registry: Registry) -> Path:
    """Four pictures with a red box, the first one the surest; the last one has a blue box too."""
    from autolabel_colors import Rectangle, save

    for number in range(4):
        boxes = [Rectangle(4, 4, 24, 24, "red", 0.9 - number / 10)]
        save(tmp_path / "photos" / f"{number}.png", [*boxes, Rectangle(30, 30, 50, 50, "blue", 0.8)][: 1 + number // 3])
    spec = make_spec(tmp_path / "photos", tmp_path / "run", classes=["red", "blue"], export=[{"type": "coco"}])
    plan = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)
    generate(plan, registry=registry)
    return tmp_path / "run"


def exported(run: Path) -> int:
    return len(json.loads((run / "coco" / "annotations.json").read_text())["annotations"])


def test_the_exports_follow_when_the_page_is_closed(cli: Cli, page: Page, opened: list[str], run: Path) -> None:
    assert exported(run) == 5
    code, out, err = cli(run, "--reviewer", "ann", "--port", 8123)
    assert code == 0 and out.splitlines() == [
        "review at http://127.0.0.1:8123/token/",
        f"1 decision about {run}; its exports are up to date",
    ]
    assert "Ctrl-C ends it" in err and opened == ["http://127.0.0.1:8123/token/"]
    assert exported(run) == 4
    [decision] = json.loads((run / "review.json").read_text())["decisions"]
    assert (decision["image"], decision["verdict"], decision["reviewer"]) == ("0.png", "reject", "ann")


def test_the_first_list_is_the_least_certain_first(cli: Cli, page: Page, opened: list[str], run: Path) -> None:
    assert cli(run, "--no-browser")[0] == 0 and opened == []
    assert page.images == ["3.png", "2.png", "1.png", "0.png"] and page.modes == ["correct", "certify"]


@pytest.mark.parametrize(
    ("options", "images"),
    [
        (["--order", "name"], ["0.png", "1.png", "2.png", "3.png"]),
        (["--order", "boxes", "--class", "blue"], ["3.png"]),
        (["--show", "checked"], []),
    ],
)
def test_orders_and_filters_reach_the_page(
    cli: Cli, page: Page, run: Path, options: list[str], images: list[str]
) -> None:
    assert cli(run, *options)[0] == 0
    assert page.images == images


def test_a_list_of_images_is_shown_in_its_order(cli: Cli, page: Page, run: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("2.png\n\n0.png\n")
    assert cli(run, "--images", names)[0] == 0
    assert page.images == ["2.png", "0.png"]
    assert cli(run, "--images", names, "--order", "most")[0] == 0
    assert page.images == ["0.png", "2.png"]


def test_a_sample_has_the_requested_size(cli: Cli, page: Page, run: Path) -> None:
    assert cli(run, "--sample", "pilot", "--size", 2)[0] == 0
    first = page.images
    assert len(first) == 2
    assert cli(run, "--sample", "pilot", "--size", 2)[0] == 0
    assert page.images == first


@pytest.mark.parametrize(
    ("what", "modes"), [("certificate", ["certify", "correct"]), ("doubts", ["correct", "certify"])]
)
def test_next_decides_what_comes_first(cli: Cli, page: Page, run: Path, what: str, modes: list[str]) -> None:
    code, _, err = cli(run, "--next", what)
    assert code == 0 and page.modes == modes
    assert ("the likeliest errors first" in err) == (what == "doubts")


@pytest.mark.parametrize("what", ["errors", "mixed"])
def test_next_errors_announces_the_work(cli: Cli, page: Page, run: Path, what: str) -> None:
    code, _, err = cli(run, "--next", what, "--precision", 0.95)
    assert code == 0 and page.total >= 1
    assert "box" in err and "minute" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "names.txt", "--sample", "pilot"], "--images and --sample exclude each other"),
        (["--gt", "truth.json"], "--gt needs --next doubts"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    cli: Cli, page: Page, run: Path, options: list[str], message: str
) -> None:
    code, _, err = cli(run, *options)
    assert code == 2 and message in err and page.modes == []


def test_an_unknown_image_is_named_with_the_nearest(cli: Cli, page: Page, run: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("0.png\n2.jpg\n")
    code, _, err = cli(run, "--images", names)
    assert code == 4 and f"{names}:2:1: '2.jpg' is not an image of this run" in err and "2.png" in err
    assert page.modes == []


def test_a_folder_without_a_run_is_refused(cli: Cli, page: Page, tmp_path: Path) -> None:
    code, _, err = cli(tmp_path)
    assert code == 4 and str(tmp_path) in err and page.modes == []


def test_an_interrupted_page_leaves_exports_up_to_date(cli: Cli, page: Page, run: Path) -> None:
    page.rejects = False
    code, out, _ = cli(run)
    assert code != 0 and f"0 decisions about {run}; its exports are up to date" not in out
    assert exported(run) == 5
