"""Scores as chances: what is learnt from checked images, and what it is worth on others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.errors import DataError
from autolabel.evaluate.probability import JudgedBoxes, chance, cross_fitted, fit, reliability
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.score_curves import Method, calibrated, shares
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image, Instances, Labels, Prompt
from autolabel.types.instances import Support
from tests.specs import make_spec

METHODS: list[Method] = ["logistic", "isotonic"]


def drawn(seed: int, count: int = 1500) -> JudgedBoxes:
    """Boxes whose chance is known: by score, by the share of looks, and by class."""
    random = np.random.default_rng(seed)
    scores, share = random.uniform(0.05, 0.95, count), random.choice([1 / 3, 2 / 3, 1.0], count)
    classes = tuple(("cell", "dust")[one] for one in random.integers(0, 2, count))
    truly = scores**2 * share * np.array([1.0 if name == "cell" else 0.5 for name in classes])
    right, images = random.uniform(0, 1, count) < truly, np.sort(random.integers(0, 60, count))
    return JudgedBoxes(images=images, scores=scores, share=share, classes=classes, right=right)


@pytest.mark.parametrize("method", METHODS)
def test_chances_of_other_boxes_are_much_nearer_to_what_comes_true(method: Method) -> None:
    made, others = fit(drawn(0), method=method), drawn(1)
    before, after = reliability(others.scores, others.right), reliability(chance(made, others), others.right)
    assert before.error > 0.2 and after.error < before.error / 4


@pytest.mark.parametrize("method", METHODS)
def test_chances_rise_with_score_and_support(method: Method) -> None:
    made = fit(drawn(2), method=method)
    rising = made.chance(np.linspace(0, 1, 50), np.ones(50), ["cell"] * 50)
    assert (np.diff(rising) >= 0).all() and rising[0] >= 0 and rising[-1] <= 1
    low, high = made.chance(np.array([0.7, 0.7]), np.array([1 / 3, 1]), ["cell"] * 2)
    dust = made.chance(np.array([0.7]), np.array([1.0]), ["dust"])[0]
    assert low < high and dust < high
    other = made.chance(np.array([0.7]), np.array([1.0]), ["never checked"])[0]
    assert dust <= other <= high


def test_each_chance_is_by_a_fit_that_has_not_seen_the_image() -> None:
    """The truth of one image is turned round: its own chances stay what they were."""
    boxes = drawn(3)
    first = cross_fitted(boxes, method="logistic")
    mine = boxes.images == boxes.images[0]
    turned = replace(boxes, right=np.where(mine, ~boxes.right, boxes.right))
    again = cross_fitted(turned, method="logistic")
    assert np.allclose(first[mine], again[mine], atol=1e-9) and not np.allclose(first[~mine], again[~mine], atol=1e-9)


@pytest.mark.parametrize(("right", "low", "high"), [(True, 0.9, 1.0), (False, 0.0, 0.1)])
def test_all_right_or_all_wrong_is_no_error(right: bool, low: float, high: float) -> None:
    boxes = JudgedBoxes(
        images=np.arange(30),
        scores=np.linspace(0.1, 0.9, 30),
        share=np.ones(30),
        classes=("a",) * 30,
        right=np.full(30, right),
    )
    made = fit(boxes, method="isotonic")
    assert low < made.chance(np.array([0.2]), np.ones(1), ["a"])[0] < high


def test_reliability_by_hand() -> None:
    told = reliability(np.array([0.12, 0.18, 0.95, 1.0]), np.array([False, True, True, True]))
    assert [(one.low, one.boxes, one.right) for one in told.bins] == [(0.1, 2, 0.5), (0.9, 2, 1.0)]
    assert told.error == pytest.approx((abs(0.15 - 0.5) * 2 + abs(0.975 - 1) * 2) / 4)
    assert reliability(np.zeros(0), np.zeros(0, bool)).error == 0


def test_given_boxes_keep_their_score_and_support_counts() -> None:
    pairs = [(1, 3), (3, 3), (0, 0)]
    found = Instances.build(
        [[0, 0, 5, 5]] * 3,
        scores=[0.5, 0.5, 1.0],
        labels=[0, 0, 0],
        rounds=[0, 0, -1],
        support=[Support(looks=looks, labelers=1, asked=asked) for looks, asked in pairs],
    )
    assert shares(found).tolist() == pytest.approx([1 / 3, 1, 1])
    row = Labels(image=Image(id="a", path="", size=(9, 9)), prompt=Prompt(("cell",)), instances=found)
    few, many, given = calibrated(row, fit(drawn(4), method="logistic")).instances.scores.tolist()
    assert few < many and given == 1.0
    assert calibrated(row, None) is row


def checked_run(tmp_path: Path, registry: Registry, **output: Any) -> tuple[Path, Path, Any]:
    """A run of forty squares, and the file of what is true: bright ones are really there, and some others."""
    from autolabel_colors import Rectangle, save

    truth: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "red"}]}
    for number in range(40):
        save(tmp_path / f"photos/{number:02}.png", [Rectangle(4, 4, 24, 24, "red", 0.2 + number / 50)])
        truth["images"].append({"id": number, "file_name": f"{number:02}.png", "height": 64, "width": 64})
        if there(number):
            box = {"bbox": [4, 4, 20, 20], "area": 400, "iscrowd": 0, "image_id": number, "category_id": 1}
            truth["annotations"].append({"id": number + 1, **box})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    scheduler = {"type": "step", "rounds": 1, "start": 0.1, "end": 0.1}
    spec = make_spec(
        tmp_path / "photos",
        tmp_path / "run",
        stages=[{"labeler": {"type": "colors"}, "scheduler": scheduler}],
        export=[{"type": "csv"}],
        output=output,
    )
    plan = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)
    return tmp_path / "run", tmp_path / "truth.json", plan


def there(number: int) -> bool:
    return number > 20 or number % 5 == 0


def exported(run: Path) -> Sequence[float]:
    lines = (run / "csv" / "labels.csv").read_text().splitlines()
    place = lines[0].split(",").index("score")
    return [float(line.split(",")[place]) for line in lines[1:]]


def test_the_command_learns_and_exports_hand_it_out(tmp_path: Path, registry: Registry) -> None:
    run, truth, plan = checked_run(tmp_path, registry)
    generate(plan, registry=registry)
    raw, before = exported(run), (run / "labels.jsonl").read_bytes()
    out = str(tmp_path / "t.yaml")
    words = ["calibrate", str(run), "--gt", str(truth), "--precision", "0.5", "--scores", "--out", out]
    told = CliRunner().invoke(app, words)
    assert "Calibration error (D-ECE)" in told.output and (run / "scores.json").exists(), told.output
    _, _, plan = checked_run(tmp_path, registry, scores="calibrated")
    generate(plan, registry=registry)
    handed = exported(run)
    assert (run / "labels.jsonl").read_bytes() == before, "labels stay what the model said"
    assert handed != raw and np.argsort(handed).tolist() == np.argsort(raw).tolist()
    right = np.array([there(number) for number in range(40)])
    assert reliability(np.array(handed), right).error < reliability(np.array(raw), right).error
    page = CliRunner().invoke(app, ["report", str(run)])
    assert page.exit_code == 0 and "What scores mean" in (run / "report" / "index.html").read_text()
    chosen = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert set(chosen["scores"]) >= {"before", "after", "fit"}


def test_what_is_missing_or_of_another_plan_is_told(tmp_path: Path, registry: Registry) -> None:
    run, truth, plan = checked_run(tmp_path, registry, scores="calibrated")
    with pytest.raises(DataError, match=r"no such file, and output\.scores asks for calibrated scores"):
        generate(plan, registry=registry)
    assert (run / "labels.jsonl").exists(), "what is labelled is kept"
    CliRunner().invoke(app, ["calibrate", str(run), "--gt", str(truth), "--scores", "--out", str(tmp_path / "t.yaml")])
    generate(plan, registry=registry)
    text = (run / "scores.json").read_text()
    for bad, said in (
        (text.replace(plan.plan.digest, "0" * 64), "another plan"),
        ("{", "not what `autolabel calibrate"),
    ):
        (run / "scores.json").write_text(bad)
        with pytest.raises(DataError, match=said):
            generate(plan, registry=registry)
