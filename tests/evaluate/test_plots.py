"""Plots as PNG files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.errors import MachineError
from autolabel.evaluate import evaluate, plots
from autolabel.types import Rle

A, B = [0, 0, 20, 20], [50, 50, 90, 90]
NAMES = ("cat", "_a $x^2$ \\frac{1}{2} 猫 <b>")


@pytest.fixture
def result(row: Any, truth: Any) -> Any:
    pytest.importorskip("matplotlib")
    mask = np.zeros((100, 200), bool)
    mask[:20, :20] = True
    rows = [row("a.jpg", [A, B, B], phrases=NAMES, labels=[0, 1, 0], rounds=[0, 1, 2], masks=[Rle.encode(mask)] * 3)]
    polygon = {"segmentation": [[0, 0, 20, 0, 20, 20, 0, 20]]}
    return evaluate(rows, truth({"a.jpg": [(NAMES[0], A, polygon), (NAMES[1], B, polygon)]}, NAMES))


def colours(path: Path) -> set[tuple[int, ...]]:
    picture = Image.open(path).convert("RGB")
    return {colour for count, colour in picture.getcolors(picture.width * picture.height) or () if count > 20}  # type: ignore[misc]


def test_every_plot_is_drawn_and_the_same_each_time(result: Any, tmp_path: Path) -> None:
    written = plots.write_plots(result, tmp_path / "a")
    assert [path.name for path in written] == [
        "precision_recall_boxes.png",
        "precision_recall_masks.png",
        "confusion.png",
        "rounds.png",
    ]
    again = plots.write_plots(result, tmp_path / "b")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    assert {(0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)} <= colours(written[0])
    assert {(0x12, 0x78, 0x4C), (0xC4, 0x2B, 0x2B)} <= colours(written[3])


def test_nothing_found_still_has_its_curves(row: Any, truth: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = plots.write_plots(evaluate([row("a.jpg")], truth({"a.jpg": [("cat", A)]})), tmp_path)
    assert [path.name for path in written] == ["precision_recall_boxes.png", "confusion.png"]


def test_without_matplotlib_nothing_is_measured_in_vain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(plots, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    words = ["evaluate", str(tmp_path), "--gt", str(tmp_path / "none.json"), "--plots", str(tmp_path / "p")]
    failed = CliRunner().invoke(app, words).exception
    assert isinstance(failed, MachineError) and "pip install 'autolabel-vision[plots]'" in str(failed)
