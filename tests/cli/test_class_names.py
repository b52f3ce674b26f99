"""Words that the command line takes and prints about classes and files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autolabel.cli.options import class_renames
from autolabel.cli.printed_plan import print_skipped
from autolabel.errors import SpecError


def test_pairs_of_classes_are_read() -> None:
    assert class_renames(["RBC=red blood cell", " a = b=c "]) == {"RBC": "red blood cell", "a": "b=c"}
    assert class_renames(None) == {}


@pytest.mark.parametrize("pair", ["RBC", "=x", "RBC=", " = "])
def test_a_pair_that_is_none_is_told(pair: str) -> None:
    with pytest.raises(SpecError, match="expected CLASS=CLASS"):
        class_renames([pair])


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"hidden": 2, "format": 1}, "3 files: 2 hidden, 1 format"),
        ({"extension": 1, "hidden": 0}, "1 file: 1 extension"),
    ],
)
def test_files_that_are_passed_over_are_counted_by_reason(counts: dict[str, int], said: str) -> None:
    plan: Any = SimpleNamespace(manifest=SimpleNamespace(passed_over=counts))
    assert print_skipped(plan) == said
