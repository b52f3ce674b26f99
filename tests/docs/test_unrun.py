"""Specs, commands, options and imports in the documentation exist, also where no test runs them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import typer
import yaml

from autolabel.cli.app import app
from autolabel.registry import Registry
from autolabel.spec.load import spec_from_mapping
from tests.docs.pages import ROOT, blocks, pages

FENCED = re.compile(r"^```(yaml|console|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IMPORTED = re.compile(r"^from (autolabel(?:\.\w+)*) import ([\w, ]+)$", re.MULTILINE)
WHOLE: Mapping[str, Any] = {
    "version": 1,
    "data": {"images": ["./images"], "classes": ["red"]},
    "stages": [{"labeler": {"type": "colors"}}],
    "results_dir": "run",
}


def unrun(*languages: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of the blocks that no test runs."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        run = {block.span[0] for block in blocks(page)}
        for found in FENCED.finditer(text):
            if found[1] in languages and found.start(2) not in run:
                yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", found[2]


@pytest.mark.parametrize("text", [pytest.param(text, id=place) for place, text in unrun("yaml")])
def test_specs_and_parts_of_specs_are_right(text: str, registry: Registry) -> None:
    part = yaml.safe_load(text) or {}
    if "version" not in part:
        of_stage = {"scheduler", "aggregator", "labeler", "labelers", "ask"} & part.keys()
        part = {**WHOLE, "stages": [{**WHOLE["stages"][0], **part}]} if of_stage else {**WHOLE, **part}
    assert spec_from_mapping(part, root=ROOT, registry=registry).stages


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of console and bash blocks, in words."""
    for place, text in unrun("console", "bash"):
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            for part in re.split(r"&&|\|", re.sub(r"^\$ |^srun ", "", line)):
                words = shlex.split(part.replace("$(", "").replace(")", ""), comments=True)
                if words:
                    yield place, words


def test_commands_modules_and_targets_exist() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    seen = set()
    for place, words in commands():
        if words[0] == "autolabel":
            options = {name for param in known[words[1]].params for name in (*param.opts, *param.secondary_opts)}
            assert {word for word in words[2:] if word.startswith("--")} <= options, (place, words)
        elif words[:2] == ["python", "-m"]:
            module = ROOT / words[2].replace(".", "/")
            installed = "." not in words[2] and find_spec(words[2])
            assert installed or module.with_suffix(".py").exists() or module.is_dir(), (place, words)
        elif words[0] == "make":
            assert words[1] in targets, (place, words)
        seen.add(words[0])
    assert {"autolabel", "python", "make", "pip"} <= seen


def test_python_examples_can_be_compiled() -> None:
    """Also those that need a library which is not installed here."""
    examples = [(page, block) for page in pages() for block in blocks(page) if block.language == "python"]
    assert len(examples) >= 20
    for page, block in examples:
        compile(block.text, f"{page.name}:{block.line}", "exec")


def test_lists_and_tables_are_not_torn() -> None:
    """Each item of a list begins a line, and each table its header."""
    for page in pages():
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        assert not re.findall(r"[;:.,] \* \w.*", text), page.name
        assert not re.findall(r"^\n\|.*\|\n(?!\| ?:?-)", text, re.MULTILINE), page.name


def test_python_examples_import_names_that_exist() -> None:
    found = {
        (module, name.strip())
        for page in pages()
        for module, names in IMPORTED.findall(page.read_text(encoding="utf-8"))
        for name in names.split(",")
    }
    assert ("autolabel.evaluate.matching", "match_boxes") in found
    for module, name in sorted(found):
        try:
            assert hasattr(import_module(module), name), (module, name)
        except ModuleNotFoundError as error:  # a tool that is not installed here
            assert error.name and not error.name.startswith("autolabel"), (module, name)
