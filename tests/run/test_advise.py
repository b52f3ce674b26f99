"""Advice from kept candidates: which way is worth its forward passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.errors import DataError, SpecError
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.run.advise import Way, _RankedByImage, advise, cheapest, compare, reached
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

IMAGES = 24


def found(scores: list[float], right: list[bool], images: list[int], true: list[int]) -> _RankedByImage:
    return _RankedByImage(np.array(images), np.array(scores), np.array(right), np.array(true))


def test_the_most_recall_at_a_precision_by_hand() -> None:
    made = found([0.9, 0.8, 0.7, 0.6, 0.6], [True, False, True, True, True], [0, 0, 0, 1, 1], [3, 2])
    once = np.array([1, 1])
    assert reached(made, once, 0.8) == (4 / 5, 0.6)
    assert reached(made, once, 0.9) == (1 / 5, 0.9)
    assert reached(made, np.array([1, 0]), 0.6) == (2 / 3, 0.7)
    assert reached(made, once, 0.99)[0] == 1 / 5 and reached(made, np.array([0, 0]), 0.5) == (0.0, None)
    wrong = found([0.9], [False], [0], [1])
    assert reached(wrong, np.array([1]), 0.5) == (0.0, None)


def way(*looks: str) -> Way:
    return Way(looks=looks, spend="every", score="vote", aggregator="nms", params={"threshold": 0.5})


def test_the_cheapest_that_is_not_worse_is_taken() -> None:
    """A second look that finds what the first misses in every image is worth it; a third that adds nothing is not."""
    images = np.repeat(np.arange(40), 2)
    half = _RankedByImage(images, np.full(80, 0.9), np.tile([True, False], 40), np.full(40, 2))
    whole = _RankedByImage(images, np.full(80, 0.9), np.full(80, True), np.full(40, 2))
    only = half.right
    one = _RankedByImage(images[only], half.scores[only], half.right[only], half.true)
    measured = compare([(way("a", "b", "c"), whole, 3.0), (way("a", "b"), whole, 2.0), (way("a"), one, 1.0)], 0.9)
    assert [one.passes for one in measured] == [1.0, 2.0, 3.0]
    assert [one.recall for one in measured] == [0.5, 1.0, 1.0] and measured[0].worse[0] > 0.4
    assert cheapest(measured) == 1
    assert cheapest([]) is None and cheapest(compare([(way("a"), half, 1.0)], 0.9)) is None


def compiled(tmp_path: Path, registry: Registry, **changes: Any) -> tuple[Compiled, Path]:
    """Photos of a bright square that is there, and a pale one, lost in the dark, that is not."""
    from autolabel_colors import Rectangle, save

    truth: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "blue"}]}
    for number in range(IMAGES):
        name = f"{number:02}.png"
        pale = Rectangle(30, 30, 60, 60, "blue", 0.4 if number % 2 else 0.39)
        save(tmp_path / "photos" / name, [Rectangle(2, 2, 22, 22, "blue", 0.62), pale])
        truth["images"].append({"id": number, "file_name": name, "height": 64, "width": 64})
        box = {"bbox": [2, 2, 20, 20], "area": 400, "iscrowd": 0, "image_id": number, "category_id": 1}
        truth["annotations"].append({"id": number + 1, **box})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    stage: dict[str, Any] = {
        "labeler": {"type": "colors"},
        "scheduler": {"type": "step", "rounds": 3, "start": 0.5, "end": 0.1},
        "looks": {"which": ["plain", "mirror"], "spend": "by_round"},
        **changes.pop("stage", {}),
    }
    spec = (
        make_spec(
            tmp_path / "photos",
            tmp_path / "run",
            classes=["blue"],
            run={"candidates": str(tmp_path / "kept")},
            stages=[stage],
            export=[],
        )
        | changes
    )
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    made = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)
    return made, tmp_path / "truth.json"


def test_one_look_is_enough_where_a_second_shows_the_same(tmp_path: Path, registry: Registry) -> None:
    plan, truth = compiled(tmp_path, registry, stage={"looks": ["plain", "mirror"]})
    generate(plan, registry=registry)
    told = advise(plan, str(truth), precision=0.9, registry=registry)
    assert (told.images, told.true, told.floor) == (IMAGES, IMAGES, 0.1)
    assert told.chosen is not None
    taken = told.ways[told.chosen]
    assert taken.way.looks == ("plain",) and (taken.passes, taken.recall) == (1.0, 1.0)
    assert taken.threshold == pytest.approx(0.62, abs=0.01) and (taken.low, taken.high) == (1.0, 1.0)
    assert {len(one.way.looks) for one in told.ways} == {1, 2}


def test_what_was_never_asked_is_not_compared(tmp_path: Path, registry: Registry) -> None:
    plain, truth = compiled(tmp_path, registry, stage={"looks": None})
    generate(plain, registry=registry)
    plan, _ = compiled(tmp_path, registry)
    told = advise(plan, str(truth), precision=0.9, registry=registry)
    assert {one.way.looks for one in told.ways if one.way.spend == "every"} == {("plain",)}
    assert any("not cached" in note and "mirror" in note for note in told.notes)


def test_images_that_failed_are_told_and_hinder_no_advice(tmp_path: Path, registry: Registry) -> None:
    plan, _ = compiled(tmp_path, registry, stage={"looks": None})
    bad, cut = tmp_path / "photos" / "00.png", tmp_path / "photos" / "01.png"
    bad.write_bytes(b"no image")
    cut.write_bytes(cut.read_bytes()[:-40])  # its header is sound
    spec = spec_from_mapping(json.loads((tmp_path / "spec.yaml").read_text()), root=tmp_path, registry=registry)
    plan = compile_plan(spec, registry=registry)
    generate(plan, registry=registry)
    told = advise(plan, str(tmp_path / "truth.json"), precision=0.9, registry=registry)
    assert told.images == IMAGES - 1 and "1 checked image(s) left out: no candidates of them are kept" in told.notes
    assert told.chosen is not None and told.ways[told.chosen].recall == pytest.approx((IMAGES - 2) / (IMAGES - 1))
    for path in (tmp_path / "photos").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no checked image can be read, .*: \S+\.png: not an image"):
        advise(compile_plan(spec, registry=registry), str(tmp_path / "truth.json"), precision=0.9, registry=registry)


def test_a_spec_that_keeps_nothing_is_refused(tmp_path: Path, registry: Registry) -> None:
    plan, truth = compiled(tmp_path, registry, run={})
    with pytest.raises(SpecError, match="--advise needs cached candidates"):
        advise(plan, str(truth), precision=0.9, registry=registry)


def test_the_command_prints_a_spec_that_is_right(tmp_path: Path, registry: Registry) -> None:
    plan, truth = compiled(tmp_path, registry)
    generate(plan, registry=registry)
    words = ["plan", str(tmp_path / "spec.yaml"), "--advise", "--gt", str(truth)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "<- take" in told.output and "output: {thresholds: {blue: 0.62" in told.output
    values = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert values["ways"][values["chosen"]]["recall"] == 1.0
    failed = CliRunner().invoke(app, words[:3])
    assert isinstance(failed.exception, SpecError) and "go together" in str(failed.exception)
