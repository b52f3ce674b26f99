"""The start of short commands: libraries that wait, and garbage collection that is paused."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import pytest

from autolabel.cli.quick_start import quick_start

NAME = "a_deferred_library"


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that says on stdout when it is executed."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("print('executed')\nfrom .part import VALUE\n")
    (folder / "part.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (NAME, f"{NAME}.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_library_is_executed_once_when_it_is_first_used(capsys: pytest.CaptureFixture[str]) -> None:
    with quick_start(NAME):
        first, second = importlib.import_module(NAME), importlib.import_module(NAME)
    assert capsys.readouterr().out == ""
    assert (first.VALUE, second.VALUE) == (7, 7)
    assert capsys.readouterr().out == "executed\n"
    assert first is second is sys.modules[NAME]
    assert Path(str(first.__file__)).name == "__init__.py"


def test_a_part_of_it_executes_the_library_first(capsys: pytest.CaptureFixture[str]) -> None:
    with quick_start(NAME):
        assert importlib.import_module(f"{NAME}.part").VALUE == 7
    assert capsys.readouterr().out == "executed\n"
    with pytest.raises(AttributeError, match="nothing"):
        _ = sys.modules[NAME].nothing


def test_what_is_imported_stays_and_what_is_not_installed_is_not_invented() -> None:
    imported = sys.modules["json"]
    with quick_start("json", "not_installed_at_all"):
        assert sys.modules["json"] is imported
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("not_installed_at_all")


def test_garbage_collection_goes_on_afterwards() -> None:
    with pytest.raises(ValueError, match="stop"), quick_start():
        assert not gc.isenabled()
        raise ValueError("stop")
    assert gc.isenabled()
    gc.disable()
    try:
        with quick_start():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
