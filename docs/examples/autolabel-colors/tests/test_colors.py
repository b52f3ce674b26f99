"""The strategies of this package: what they find, and that they keep autolabel's contract."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import autolabel_colors
import numpy as np
import pytest
from autolabel_colors import COLORS, Colors, Csv, Halving, Pixels, Rectangle, canvas, find_flat, inert, save, shade

from autolabel.registry import Registry, register
from autolabel.testing import check_detector, check_exporter, check_scheduler, example_labels
from autolabel.types import Image, Instances, Prompt, Sample

SCENE = [(5, 5, 20, 30, "red"), (30, 10, 50, 40, "red", 0.55), (0, 50, 64, 64, "blue", 0.3), (21, 5, 25, 30, "green")]


def sample(pixels: Pixels, *phrases: str, name: str = "scene.png") -> Sample:
    image = Image(id=name, path=name, size=pixels.shape[:2])
    return Sample(image=image, pixels=pixels, prompt=Prompt(phrases), instances=Instances.empty())


def found(pixels: Pixels, *phrases: str, floor: float = 0.05, **params: Any) -> Instances:
    labeler = Colors(Colors.Params(**params))
    labeler.load("cpu")
    return labeler.detect(labeler.prepare([sample(pixels, *phrases)]), [Prompt(phrases)], floor)[0]


def test_rectangles_are_found_to_the_pixel() -> None:
    instances = found(canvas(SCENE), "a red rectangle", "blue", "the green one", "dog")
    assert instances.boxes.tolist() == [list(row[:4]) for row in SCENE]
    assert instances.scores.tolist() == pytest.approx([1, 0.55, 0.3, 1])
    assert instances.labels.tolist() == [0, 0, 1, 2]


def test_the_floor_filters() -> None:
    assert len(found(canvas(SCENE), "red", floor=0.5)) == 2
    assert len(found(canvas(SCENE), "red", floor=0.6)) == 1
    assert len(found(canvas(SCENE), "red", floor=1.0)) == 0


def test_the_grey_canvas_is_no_color() -> None:
    assert len(found(canvas([]), *COLORS, floor=0)) == 0


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("score", [1.0, 0.77, 0.5, 0.01])
def test_a_shade_earns_its_score_for_its_own_color_only(color: str, score: float) -> None:
    pixels = canvas([Rectangle(1, 2, 9, 8, color, score)], size=(16, 16))
    instances = found(pixels, *COLORS, floor=0)
    assert instances.boxes.tolist() == [[1, 2, 9, 8]]
    assert instances.scores.tolist() == pytest.approx([score])
    assert list(COLORS)[instances.labels[0]] == color


def test_noise_holds_no_rectangles() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    assert len(find_flat(noise, 3).boxes) == 0


def test_an_image_of_one_color_is_one_rectangle() -> None:
    assert find_flat(np.zeros((4, 7, 3), np.uint8), 3).boxes.tolist() == [[0, 0, 7, 4]]
    assert len(find_flat(np.zeros((1, 1, 3), np.uint8), 3).boxes) == 0


def test_an_l_shape_falls_into_its_stacks() -> None:
    pixels = canvas([(2, 2, 6, 6, "red"), (2, 6, 12, 10, "red")], size=(16, 16))
    assert sorted(found(pixels, "red").boxes.tolist()) == [[2, 2, 6, 6], [2, 6, 12, 10]]


def test_small_ones_can_be_left_out() -> None:
    assert len(found(canvas(SCENE), "green", min_side=4)) == 1
    assert len(found(canvas(SCENE), "green", min_side=5)) == 0


def test_failures_can_be_rehearsed() -> None:
    labeler = Colors(Colors.Params(fail_on=("b.png",)))
    assert len(labeler.prepare([sample(canvas(SCENE), "red", name="a.png")])) == 1
    with pytest.raises(ValueError, match=r"b\.png is listed in fail_on"):
        labeler.prepare([sample(canvas(SCENE), "red", name=name) for name in ("a.png", "b.png")])
    assert labeler.counters() == {"prepared": 1, "forwards": 0}


def test_images_are_drawn_without_loss(tmp_path: Path) -> None:
    from autolabel.images import read_pixels

    path = save(tmp_path / "deep" / "scene.png", SCENE, size=(64, 64))
    assert np.array_equal(read_pixels(path), canvas(SCENE))
    assert tuple(read_pixels(path)[20, 40]) == shade("red", 0.55) == (255, 0, 45)


def test_thresholds_halve() -> None:
    rounds = Halving(Halving.Params(rounds=4, start=0.8)).rounds()
    assert [each.conf_threshold for each in rounds] == [0.8, 0.4, 0.2, 0.1]


def test_csv_holds_a_row_for_every_box_and_every_image_without_one(tmp_path: Path) -> None:
    labels = example_labels()
    (path,) = Csv(Csv.Params()).export(labels, labels[0].prompt.phrases, tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [each.image.id for each in labels for _ in range(len(each.instances) or 1)]
    assert [row["state"] for row in rows[-2:]] == ["empty", "failed"]
    assert rows[0] == {
        "image": "a/one.jpg",
        "caption_index": "0",
        "state": "labelled",
        "phrase": "'=1+1",
        "x1": "5.0",
        "y1": "10.0",
        "x2": "25.0",
        "y2": "20.0",
        "score": "0.987654",
        "round": "0",
    }
    assert rows[1]["phrase"] == 'comma, "quote"'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_are_made_inert(text: str) -> None:
    assert inert(text) == f"'{text}"
    assert inert(f"a{text}") == f"a{text}"


def test_the_hooks_offer_all_three() -> None:
    registry = Registry()
    register(registry, autolabel_colors, package="autolabel-colors", version="0.1.0")
    assert [(entry.kind, entry.name) for entry in registry] == [
        ("scheduler", "halving"),
        ("labeler", "colors"),
        ("exporter", "csv"),
    ]


def test_each_keeps_the_contract() -> None:
    scenes = [SCENE, SCENE[:1], []]
    samples = [sample(canvas(scene), "red", "blue", name=f"{i}.png") for i, scene in enumerate(scenes)]
    check_detector(Colors, {"min_side": 2}, samples=[*samples, sample(canvas(SCENE, size=(64, 80)), "green")])
    check_scheduler(Halving, {"rounds": 5, "start": 0.9})
    check_exporter(Csv, {})
