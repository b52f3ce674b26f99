"""docs/design.md names nothing that does not exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

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
    assert len(names) > 15
    assert names - defined() - NOT_OURS == set()


def test_every_file_and_folder_exists() -> None:
    paths = in_code(r"(?:[\w-]+/)*[\w-]+\.py|(?:src|plugins|tests|docs|schema)/[\w/.-]*")
    assert len(paths) > 3
    roots = (ROOT, ROOT / "src" / "autolabel", ROOT / "plugins")
    assert {path for path in paths if not any((root / path).exists() for root in roots)} == set()


def test_the_layout_lists_what_is_there() -> None:
    block = PAGE.split("## Layout", 1)[1].split("```")[1]
    core = block.split("src/autolabel/", 1)[1].split("  starter/", 1)[0]
    for line in core.splitlines()[1:]:
        folder, _, rest = line.strip().partition("/") if "/" in line else ("", "", line.strip())
        for name in re.findall(r"[a-z_]\w*", rest):
            home = ROOT / "src" / "autolabel" / folder
            assert (home / f"{name}.py").exists() or (home / name).exists(), f"{folder}/{name}"
    packages = re.findall(r"autolabel_\w+", block)
    assert sorted(set(packages)) == sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())


def test_the_layers_are_those_of_the_contract() -> None:
    written = re.search(r"^cli > .*$", PAGE, re.M)
    assert written is not None
    shown = [[name.strip() for name in layer.split(",")] for layer in written[0].split(">")]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split('name = "layers of the core"', 1)[1].split("]", 1)[0]
    stated = [re.findall(r"autolabel\.(\w+)", line) for line in block.splitlines() if "autolabel." in line]
    assert shown == stated
