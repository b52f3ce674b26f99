"""Plots of an evaluation as SVG files: those of the report, with all they need inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from autolabel.evaluate import evaluate
from autolabel.report import plots
from autolabel.report.comparison import comparison
from autolabel.types import Rle

A, B = [0, 0, 20, 20], [50, 50, 90, 90]
NAMES = ("cat", "_$x$ 猫 <b>&\x1b")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def result(row: Any, truth: Any) -> Any:
    mask = np.zeros((100, 200), bool)
    mask[:20, :20] = True
    rows = [row("a.jpg", [A, B, B], phrases=NAMES, labels=[0, 1, 0], rounds=[0, 1, 2], masks=[Rle.encode(mask)] * 3)]
    polygon = {"segmentation": [[0, 0, 20, 0, 20, 20, 0, 20]]}
    return evaluate(rows, truth({"a.jpg": [(NAMES[0], A, polygon), (NAMES[1], B, polygon)]}, NAMES))


def test_every_plot_of_the_report_is_a_file_and_the_same_each_time(result: Any, tmp_path: Path) -> None:
    written = plots.write_plots(result, tmp_path / "a")
    assert [path.name for path in written] == [
        "precision_recall_boxes.svg",
        "precision_recall_masks.svg",
        "rounds.svg",
        "recall.svg",
        "confusion.svg",
    ]
    again = plots.write_plots(result, tmp_path / "b")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    hues: dict[str | None, str] = {NAMES[0]: "hue-0", NAMES[1]: "hue-1"}  # two boxes of the first, one of the second
    section = comparison(result, hues)
    for path, plot in zip(written, plots.evaluation_plots(result, hues), strict=True):
        assert plot.svg in section
        shown = path.read_text("utf-8").replace("\ufffd", "?")
        assert plot.svg.replace("\x1b", "?") in shown


def test_a_file_is_xml_with_every_colour_in_it_whatever_a_class_is_called(result: Any, tmp_path: Path) -> None:
    for path in plots.write_plots(result, tmp_path):
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{SVG}svg" and all(one.tag.startswith(SVG) for one in root.iter())
        style = root.findtext(f"{SVG}style") or ""
        assert "var(" not in style and "@" not in style
        painted = [one for one in root.iter() if (one.get("class") or "").startswith(("hue-", "right", "wrong"))]
        for name in {one.get("class") for one in painted}:
            assert re.search(rf"rect\.{name}\b[^}}]*\{{ fill: #\w+ \}}", style), f"{path.name}: {name} has no colour"
    texts = [one.text for one in ElementTree.parse(tmp_path / "confusion.svg").iter(f"{SVG}text")]
    assert "_$x$ 猫 <b>&\ufffd" in texts


def test_nothing_found_still_has_its_confusion(row: Any, truth: Any, tmp_path: Path) -> None:
    written = plots.write_plots(evaluate([row("a.jpg")], truth({"a.jpg": [("cat", A)]})), tmp_path)
    assert [path.name for path in written] == ["precision_recall_boxes.svg", "confusion.svg"]
