"""At the end of a run the ledger is read once: for the summary, the report and every export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results import ledger, record
from autolabel.results.ownership import LOCK
from autolabel.results.written import OUTPUTS
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.run.outputs import report_run
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Labels
from tests.run.test_memory import link_pictures
from tests.specs import make_spec

IMAGES = 300
ONE_WALK = ("coco", "coco_results", "odvg", "tao", "csv")
"""Formats that need to know no row before they write the first."""
NAMES_FIRST = ("voc", "yolo")
"""Formats that choose the names of all files first."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often the ledger is walked, and rows of it are decoded."""
    counts: Counter[str] = Counter()
    lines_of, decode = ledger.lines_of, record.decode_labels

    def counting_lines(*args: Any) -> Iterator[bytes]:
        counts["walks"] += 1
        return lines_of(*args)

    def counting_decode(*args: Any) -> Labels:
        counts["rows"] += 1
        return decode(*args)

    monkeypatch.setattr(ledger, "lines_of", counting_lines)
    monkeypatch.setattr(record, "decode_labels", counting_decode)
    return counts


def run(registry: Registry, folder: Path, **said: Any) -> Path:
    if not (folder / "photos").exists():
        link_pictures(folder / "photos", IMAGES)
    results = folder / "run"
    spec = make_spec(folder / "photos", results, run={"executor": "inline", "num_workers": 1}) | said
    compiled = compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry)
    assert generate(compiled, registry=registry).states == {"labelled": IMAGES}
    return results


def exports(*names: str) -> list[dict[str, Any]]:
    return [{"type": name} for name in names]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files but the record of how each output was last asked for."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (OUTPUTS, LOCK))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_summary_and_exports_share_one_walk(registry: Registry, tmp_path: Path, counted: Counter[str]) -> None:
    run(registry, tmp_path, export=exports(*ONE_WALK), report=False)
    assert counted == {"walks": 1, "rows": IMAGES}


def test_the_report_reads_again_what_it_shows_alone(registry: Registry, tmp_path: Path, counted: Counter[str]) -> None:
    run(registry, tmp_path, export=exports("coco", "odvg"), report=True)
    results = tmp_path / "run"
    page = (results / "report" / "index.html").read_bytes()
    at_once = counted.copy()
    counted.clear()
    report_run(results)
    alone = counted
    assert (results / "report" / "index.html").read_bytes() == page
    assert at_once == alone and at_once["walks"] == 2 and IMAGES < at_once["rows"] < 2 * IMAGES


def test_only_formats_that_name_their_files_first_walk_again(
    registry: Registry, tmp_path: Path, counted: Counter[str]
) -> None:
    run(registry, tmp_path, export=exports("coco", *NAMES_FIRST), report=False)
    assert counted == {"walks": 1 + len(NAMES_FIRST), "rows": (1 + len(NAMES_FIRST)) * IMAGES}


def test_files_are_those_of_separate_commands(registry: Registry, tmp_path: Path) -> None:
    results = run(registry, tmp_path, export=exports(*ONE_WALK, *NAMES_FIRST), report=True)
    together = contents(results)
    for name in (*ONE_WALK, *NAMES_FIRST):
        export_run(results, name, {}, registry=registry)
    report_run(results)
    assert contents(results) == together


def test_parts_of_a_split_are_those_of_separate_commands(registry: Registry, tmp_path: Path) -> None:
    split = {"split": {"train": 0.6, "val": 0.3, "test": 0.1}}
    results = run(registry, tmp_path, export=exports("coco", "csv", "yolo"), output=split, report=False)
    together = contents(results)
    for name in ("coco", "csv", "yolo"):
        export_run(results, name, {}, registry=registry)
    assert contents(results) == together
