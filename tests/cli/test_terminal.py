"""What data is called never commands a terminal, and answers stay readable to programs."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from autolabel.cli import console
from autolabel.cli.printed_plan import print_plan
from autolabel.cli.terminal import LiteralConsole
from autolabel.literal import COMMANDS, LiteralFormatter, escape, escape_json
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.status import read_status
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

SEEDS = [
    "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil\x1b\\link", "\x1b[2J\x1b[H", "\x9b31m", "\x9d0;x\x9c",
    "\x1bc", "back\x08\x08space", "bell\x07", "over\rwritten", "form\x0cfeed", "tab\vulator", "\x7f", "\u202etxt.exe",
    "\u2066isolated", "\u200fmark", "[bold]x[/bold]", "[/]", "[link=http://evil]x[/link]", ":smile:", "\u2028line",
    "%s %d {0} {x}", "=cmd|' /C calc'!A0", "\x00nul", "\x85next",
]  # fmt: skip
TEXTS = [f"{seed}{extra}" for seed in SEEDS for extra in ("", " 1", "é", '"')]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(console, "out", LiteralConsole(file=stream, width=200, force_terminal=True, color_system=None))
    return stream


def commands(text: str) -> list[str]:
    return COMMANDS.findall(text)


def test_a_hundred_texts_are_said_literally(screen: io.StringIO) -> None:
    assert len(set(TEXTS)) == 100
    for text in TEXTS:
        console.out.say(text)
    assert screen.getvalue() == "".join(f"{escape(text)}\n" for text in TEXTS)
    assert not commands(screen.getvalue())


def test_a_hundred_texts_are_shown_literally_in_tables(screen: io.StringIO) -> None:
    console.print_facts({f"{number}{text}": text for number, text in enumerate(TEXTS)})
    assert not commands(screen.getvalue())
    assert ":smile:" in screen.getvalue() and "[bold]x[/bold]" in screen.getvalue()


def test_json_says_what_it_was_given(screen: io.StringIO) -> None:
    console.print_json({"names": TEXTS})
    assert json.loads(screen.getvalue()) == {"names": TEXTS}
    assert not commands(screen.getvalue())


def test_halves_of_surrogate_pairs_can_be_printed() -> None:
    assert escape("a\udcffb") == "a\\udcffb"
    assert json.loads(escape_json('"\x9b"')) == "\x9b"


def test_line_ends_and_all_writing_stay() -> None:
    text = "a\nb\tc é 猫 😀 עברית \N{NO-BREAK SPACE}"
    assert escape(text) == text


def test_log_lines_are_literal() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s failed", ("\x1b[31m.jpg",), None)
    assert LiteralFormatter("%(message)s").format(record) == "\\x1b[31m.jpg failed"


def test_a_run_full_of_commands_shows_none(
    registry: Registry, tmp_path: Path, screen: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [f"{text} red" for text in TEXTS if not set(text) & {";", "|"}]  # those would be lists
    assert len(classes) >= 80
    for number, text in enumerate(text for text in SEEDS if "\0" not in text and "/" not in text):
        name = tmp_path / "photos" / f"{text}.png"
        name.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), "red").save(name) if number % 2 else name.write_bytes(b"no image")
    spec = make_spec(tmp_path / "photos", tmp_path / "run\x1b[31m", classes=classes, report=False)
    compiled = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)
    print_plan(compiled.plan)
    with console.watching(quiet=False) as watch:
        summary = generate(compiled, registry=registry, watch=watch)
    assert summary.states["failed"] >= 10 and summary.boxes
    console.print_summary(summary, compiled.plan)
    console.print_status(read_status(tmp_path / "run\x1b[31m"))
    console.print_json(summary.as_dict())
    assert "\\x1b[31m" in screen.getvalue()
    said = capsys.readouterr()
    assert not commands(screen.getvalue() + said.out + said.err)
