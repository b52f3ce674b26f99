"""The site builds, and a warning is an error."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


def page_text(page: str) -> str:
    return (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def holds_words(text: str, query: str) -> bool:
    return set(query.split()) <= set(re.findall(r"[a-z]+", text.lower()))


@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "annealing" / "index.html").exists()
    assert not list((tmp_path / "site").rglob("*.py"))


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("move box", "review"),
        ("draw box", "review"),
        ("add class", "classes"),
        ("import annotations", "images"),
        ("import annotations", "review"),
        ("recall", "certificate"),
        ("precision", "certificate"),
        ("resume", "determinism"),
        ("thresholds", "thresholds"),
        ("slurm", "big-runs"),
        ("out of memory", "errors"),
        ("change threshold", "relabel"),
        ("merge runs", "big-runs"),
        ("yolo", "formats"),
        ("label studio", "serve"),
        ("label studio", "formats"),
        ("segmentation", "labelers"),
        ("gpu", "big-runs"),
        ("class names", "classes"),
        ("licence", "labelers"),
        ("small objects", "consensus"),
        ("train", "own-photos"),
        ("failed images", "errors"),
        ("duplicates", "images"),
    ],
)
def test_what_people_search_for_stands_in_a_heading(query: str, page: str) -> None:
    """The site's search ranks headings first."""
    headings = re.findall(r"^#+ (.*)$", page_text(page), re.MULTILINE)
    assert any(holds_words(heading, query) for heading in headings)


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("offline", "spec"),
        ("windows", "tutorial"),
        ("metrics", "tutorial"),
        ("multi gpu", "big-runs"),
        ("background images", "own-photos"),
        ("test time augmentation", "consensus"),
        ("data leakage", "images"),
        ("keyboard shortcuts", "review"),
        ("pascal voc", "formats"),
        ("pre annotations", "formats"),
        ("license", "labelers"),
    ],
)
def test_what_people_search_for_stands_in_a_section(query: str, page: str) -> None:
    sections = re.split(r"^#+ ", page_text(page), flags=re.MULTILINE)
    assert any(holds_words(section, query) for section in sections)
