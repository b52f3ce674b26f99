"""`calibrate` from the boxes that were drawn for a certificate: its promise holds, and its advice can be followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autolabel.certify.checks import Checks, Settings
from autolabel.certify.evidence import DrawRound
from autolabel.certify.units import Units
from autolabel.cli.app import app
from autolabel.errors import DataError
from autolabel.evaluate.certified_thresholds import calibrate_drawn
from tests.certify.true_run import Truth

Make = Callable[..., Truth]


def checks_of(scores: Any, right: Any, order: Any, count: int) -> Checks:
    """Return the checks of one class, of which the first ``count`` of an order are answered."""
    units = Units(classes=["cat"])
    units.box_keys.extend(range(len(scores)))
    units.box_rows.extend([0] * len(scores))
    units.box_classes.extend([0] * len(scores))
    units.scores.extend(scores.tolist())
    checks = Checks(units, Settings(confidence=0.95, cap=3, caps=(3,)))
    checks.box_rounds.append(DrawRound(frozenset(), order))
    checks.boxes.update({int(box): "yes" if right[box] else "no" for box in order[:count]})
    return checks


def broken(reps: int, count: int, *, base: float, slope: float, size: int = 2000) -> tuple[int, int]:
    """Return how many promises were made, and how many of them are false of the run."""
    made = failed = 0
    for seed in range(reps):
        g = np.random.default_rng((seed, 1))
        scores = g.uniform(0.2, 1, size).astype(np.float32).astype(np.float64)
        right = g.random(size) < base + slope * scores
        checks = checks_of(scores, right, np.random.default_rng((seed, 2)).permutation(size), count)
        [cat] = calibrate_drawn(checks, classes=("cat",), precision=0.9).classes
        if cat.threshold is not None:
            made += 1
            failed += right[scores >= cat.threshold - 1e-9].mean() < 0.9
    return made, failed


def test_the_promise_holds_in_a_few_runs() -> None:
    made, failed = broken(30, 300, base=0.65, slope=0.4)
    assert made >= 15 and failed <= 4


@pytest.mark.soak
@pytest.mark.parametrize("count", [60, 200, 600])
@pytest.mark.parametrize(("base", "slope"), [(0.895, 0.0), (0.6, 0.4), (0.8, 0.2), (0.97, 0.0)])
def test_the_promise_of_drawn_boxes_holds(base: float, slope: float, count: int) -> None:
    made, failed = broken(400, count, base=base, slope=slope)
    print(f"drawn boxes: {base} {slope} {count}: {made} promises, {failed / 400:.3f} broken")  # noqa: T201
    assert failed <= 0.06 * 400


def test_all_checked_is_exact() -> None:
    scores = np.linspace(0.3, 0.99, 50)
    right = scores > 0.5
    checks = checks_of(scores, right, np.arange(50), 50)
    [cat] = calibrate_drawn(checks, classes=("cat",), precision=0.95).classes
    above = [level for level in scores.tolist() if right[scores >= level].mean() >= 0.95]
    assert cat.threshold is not None and min(above) - 1e-6 <= cat.threshold < min(above) + 0.04
    assert cat.precision is not None and cat.precision >= 0.95


def test_advice_is_within_reach_or_none() -> None:
    g = np.random.default_rng(0)
    scores = g.uniform(0.2, 1, 300)
    good = checks_of(scores, g.random(300) < 0.97, g.permutation(300), 15)
    [cat] = calibrate_drawn(good, classes=("cat",), precision=0.9).classes
    assert cat.threshold is None and cat.more_boxes is not None and 5 < cat.more_boxes <= 285
    assert cat.more_images is None
    bad = checks_of(scores, g.random(300) < 0.5, g.permutation(300), 200)
    [cat] = calibrate_drawn(bad, classes=("cat",), precision=0.9).classes
    assert (cat.threshold, cat.more_boxes) == (None, None)


def calibrate(run: Truth, out: Path, *words: str) -> Any:
    command = ["calibrate", str(run.root), "--out", str(out), "--json", *words]
    return CliRunner().invoke(app, command, catch_exceptions=True)


def test_the_command_reads_the_certificates_checks(make_run: Make, tmp_path: Path) -> None:
    run, out = make_run(120, wrong=0.02), tmp_path / "thresholds.yaml"
    none = calibrate(run, out)
    assert isinstance(none.exception, DataError) and "no box was checked" in str(none.exception)
    run.certify("--precision", "0.9", "--json")
    run.check(150)
    done = calibrate(run, out, "--precision", "0.85")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["checks"] == "boxes" and found["overall"]["threshold"] is not None
    assert {one["name"] for one in found["classes"]} == {"red", "blue"}
    text = out.read_text()
    assert "150 checked boxes" in text and "# one threshold for all classes together would be" in text
    kept = found["overall"]
    assert kept["checked"] == 150 and kept["kept"] == kept["boxes"] == 360


def test_a_certificate_without_answers_is_no_calibration(make_run: Make, tmp_path: Path) -> None:
    run = make_run(8)
    run.certify("--json")
    done = calibrate(run, tmp_path / "t.yaml")
    assert isinstance(done.exception, DataError) and "no box was checked" in str(done.exception)
