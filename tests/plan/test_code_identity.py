"""The code of an installed package is part of what its results depend on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from autolabel.plan.identity import code_of
from autolabel.registry import Registry


def module(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> type:
    """Return a class of a package that lies in a folder."""
    made = ModuleType(name)
    made.__file__ = str(folder / "__init__.py")
    monkeypatch.setitem(sys.modules, name, made)
    return type("Strategy", (), {"__module__": f"{name}.inner"})


def test_it_follows_every_file_of_the_package_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def code() -> str:
        return code_of(module(tmp_path / "birds", "birds", monkeypatch), "birds")

    (tmp_path / "birds" / "inner").mkdir(parents=True)
    (tmp_path / "birds" / "__init__.py").write_text("")
    (tmp_path / "birds" / "inner" / "__init__.py").write_text("ANSWER = 1")
    first = code()
    (tmp_path / "birds" / "__pycache__").mkdir()
    (tmp_path / "birds" / "__pycache__" / "x.py").write_text("")
    assert code() == first
    (tmp_path / "birds" / "inner" / "__init__.py").write_text("ANSWER = 22")
    assert code() != first
    second = code()
    (tmp_path / "birds" / "table.json").write_text("{}")
    assert code() != second


def test_only_packages_of_others_have_one(registry: Registry) -> None:
    entries = {entry.package: code_of(entry.strategy, entry.package) for entry in registry}
    assert entries["autolabel-vision"] == ""
    assert len(entries["autolabel-colors"]) == 64
