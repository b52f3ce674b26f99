"""Everything that a page says was run is run, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anew, blocks, pages, play, same, steps

MARKED = [page for page in pages() if blocks(page)]
LONG = [page for page in MARKED if any(block.verb == "soak" for block in blocks(page))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", MARKED, ids=name)
def test_a_page_shows_what_happens(page: Path, tmp_path: Path, example_path: str) -> None:
    play(page, tmp_path, path=example_path)


@pytest.mark.soak
@pytest.mark.parametrize("page", LONG, ids=name)
def test_a_page_shows_what_happens_to_the_end(page: Path, tmp_path: Path, example_path: str) -> None:
    play(page, tmp_path, path=example_path, soak=True)


def test_enough_is_run() -> None:
    assert {"tutorial.md", "annealing.md", "plugins.md", "determinism.md", "errors.md"} <= {
        page.name for page in MARKED
    }
    assert sum(len(blocks(page)) for page in MARKED) >= 20


def test_commands_are_told_from_their_output() -> None:
    found = steps("$ one\n$ two \\\n    three\nout\n\nmore\n$ four\n")
    assert [(step.command, step.shown) for step in found] == [
        ("one", ""),
        ("two  three", "out\n\nmore"),
        ("four", ""),
    ]


def test_output_is_compared() -> None:
    assert same("a 1", "a 1  \n", numbers=True)
    assert same("a ... d", "a b\nc d", numbers=True)
    assert not same("a 1", "a 2", numbers=True)
    assert same("a 1,000", "a     2.5", numbers=False)
    assert not same("a 1", "b 1", numbers=False)
    assert not same("a", "a b", numbers=False)


def test_rewriting_keeps_what_is_left_out() -> None:
    assert anew("a 1\n...\nd 4\ne 5\n", "a 2\nb\nc\nd 5\ne 6\n") == ["a 2", "...", "d 5", "e 6"]
    assert anew("a 1", "a 2\nb") == ["a 2", "b"]
