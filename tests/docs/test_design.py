"""docs/design.md names nothing that does not exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
SOURCES = [path for folder in ("src", "plugins") for path in (ROOT / folder).rglob("*.py")]
NOT_OURS = {"Starlette", "Mask", "Grounding"}
"""Names of other projects that stand in code font."""


def defined() -> set[str]:
    """Return the names of all classes and functions."""
    kinds = ast.ClassDef | ast.FunctionDef
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}


def in_code(pattern: str) -> set[str]:
    """Return what stands in code font and matches a pattern as a whole."""
    return {text for text in re.findall(r"`([^`\n]+)`", PAGE) if re.fullmatch(pattern, text)}


def test_every_class_and_function_exists() -> None:
    names = in_code(r"[A-Z]\w*[a-z]\w*") | {text.partition("(")[0] for text in in_code(r"[a-z_]\w*\(.*\).*")}
    assert len(names) > 10
    assert names - defined() - NOT_OURS == set()


def exists(path: str) -> bool:
    """Return whether a path is there as the page writes it: below the repository, the core, or the plugins."""
    return any((root / path).exists() for root in (ROOT, ROOT / "src" / "autolabel", ROOT / "plugins"))


def test_every_file_and_folder_exists() -> None:
    paths = in_code(r"(?:[\w-]+/)*[\w-]+\.py|(?:[\w.-]+/)+[\w.-]*|autolabel_\w+")
    assert len(paths) > 40
    assert {path for path in paths if not exists(path)} == set()


def test_every_name_in_the_picture_exists() -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (ROOT / "docs" / "img" / "design.svg").read_text(encoding="utf-8"))
    paths = {word.strip(",:") for text in texts for word in text.split() if "/" in word}
    assert {"spec/", "run/anneal.py"} <= paths and {path for path in paths if not exists(path)} == set()
    names = {word for text in texts for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", text)}
    assert {
        "Plan",
        "Recipe",
        "Manifest",
        "Execution",
        "Outputs",
        "ShardLabeler",
        "Detector",
        "Segmenter",
    } <= names & defined()


def test_every_folder_of_the_core_is_named() -> None:
    folders = {path.name for path in (ROOT / "src" / "autolabel").iterdir() if (path / "__init__.py").is_file()}
    named = {part for path in in_code(r"[\w/]+/") for part in path.split("/")} | {
        path.partition("/")[0] for path in in_code(r"[\w/]+\.py")
    }
    assert folders - named == set()


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("rounded", "results/record.py"),
        ("leave the rounds", "run/anneal.py"),
        ("unknown key", "spec/problems.py"),
        ("digest", "plan/identity.py"),
        ("How many candidates", "autolabel_labeling/candidates.py"),
        ("kept on disk", "run/candidates.py"),
        ("COCO", "autolabel_exporters/numbering.py"),
        ("worker dies", "executors/driver.py"),
        ("threads", "executors/tuning.py"),
        ("report show", "report/overview.py"),
        ("packed", "autolabel_labeling/caption.py"),
    ],
)
def test_questions_are_answered_by_the_file_that_answers_them(words: str, file: str) -> None:
    rows = PAGE.split("## Where to look", 1)[1].splitlines()
    [row] = [row for row in rows if words in row.partition("|")[2].partition("|")[0]]
    assert f"`{file}`" in row


def test_the_page_is_short() -> None:
    assert len(re.findall(r"[\w'/.-]*\w", PAGE)) < 900


def test_the_layers_are_those_of_the_contract() -> None:
    written = re.search(r"^cli > .*$", PAGE, re.M)
    assert written is not None
    shown = [[name.strip() for name in layer.split(",")] for layer in written[0].split(">")]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split('name = "layers of the core"', 1)[1].split("]", 1)[0]
    stated = [re.findall(r"autolabel\.(\w+)", line) for line in block.splitlines() if "autolabel." in line]
    assert shown == stated
