"""Links lead somewhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, pages

LINK = re.compile(r"!?\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DOCS = ROOT / "docs"


def prose(page: Path) -> str:
    """A page without its code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The anchor of a heading, as Python-Markdown makes it."""
    text = unicodedata.normalize("NFKD", heading.replace("`", "")).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def targets(page: Path) -> list[str]:
    return [found["target"] for found in LINK.finditer(re.sub(r"`[^`\n]*`(?!\])", "", prose(page)))]


def faults(page: Path) -> Iterator[str]:
    """What is wrong with the links of a page."""
    for target in targets(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists():
            yield f"{target}: there is no such file"
        elif page.is_relative_to(DOCS) and not there.is_relative_to(DOCS):
            yield f"{target}: leaves the folder of the documentation, so that the site cannot show it"
        elif anchor and anchor not in map(slug, HEADING.findall(prose(there))):
            yield f"{target}: {there.name} has no such heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(faults(page)) == []


def test_links_are_found_at_all() -> None:
    assert len(targets(DOCS / "index.md")) >= 12
    assert len(targets(ROOT / "README.md")) >= 8


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](other.md) [b](#one-two) [c](#three)\n")
    assert list(faults(page)) == ["other.md: there is no such file", "#three: page.md has no such heading"]


def test_the_navigation_names_every_page_once() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = list(leaves(site["nav"]))
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in pages() if page.is_relative_to(DOCS))


def leaves(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from leaves(child)
