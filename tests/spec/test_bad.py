"""Wrong specs and the exact text that each one earns; ``AUTOLABEL_REWRITE=1`` writes the texts anew, to be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.spec import document
from autolabel.spec.load import load_spec

BAD = Path(__file__).with_name("bad")
NAMES = sorted(path.stem for path in BAD.glob("*.yaml"))
LIBYAML = document.FAST


def overrides_in(path: Path) -> list[str]:
    """A line that begins with ``#$`` holds an override; ESC stands for the escape character."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line[3:].replace("ESC", "\x1b") for line in lines if line.startswith("#$ ")]


def told(name: str, registry: Registry) -> SpecError:
    """What the user is told."""
    path = Path("bad", f"{name}.yaml")
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides=overrides_in(path), registry=registry)
    return caught.value


def test_there_are_enough_of_both_dialects() -> None:
    assert len(NAMES) >= 100
    assert sum(name.startswith("tao_") for name in NAMES) >= 20
    assert sum(name.startswith("yaml_") for name in NAMES) >= 20


def test_no_text_without_its_spec() -> None:
    assert sorted(path.stem for path in BAD.glob("*.txt")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_text_and_place(name: str, builtins: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("yaml_") and not LIBYAML:
        pytest.skip("syntax errors have other words without libyaml")
    monkeypatch.chdir(BAD.parent)
    error = told(name, builtins)
    expected = BAD / f"{name}.txt"
    if os.environ.get("AUTOLABEL_REWRITE"):
        expected.write_text(f"{error}\n", encoding="utf-8")
    assert f"{error}\n" == expected.read_text(encoding="utf-8")
    for problem in error.problems:
        on_command_line = problem.file.startswith("<command line> ")
        assert on_command_line or (problem.file == f"bad/{name}.yaml" and (problem.line > 0) == (name != "yaml_empty"))
        assert problem.message.isprintable()
