"""What the rounds bring is measured rightly: on drawn rectangles whose scores are known."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from autolabel.registry import Registry
from autolabel.strategies import Detector
from benchmarks import annealing
from benchmarks.annealing import AGGREGATORS, Point, by_round, equal_precision, fixed_points, of, same_as_once

SCENES = {
    "sure.png": [(4, 4, 24, 24, "red", 0.9), (30, 4, 50, 24, "red", 0.42), (4, 36, 24, 56, "blue", 0.8)],
    "doubtful.png": [(4, 4, 24, 24, "red", 0.3), (4, 36, 24, 56, "blue", 0.7)],
}
INVENTED = (30, 36, 50, 56, "red", 0.2)
"""Found in every picture, and nowhere true."""


@pytest.fixture(scope="module")
def points(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    from autolabel_colors import save

    folder = tmp_path_factory.mktemp("photos")
    categories = {"red": 1, "blue": 2}
    images, annotations = [], []
    for number, (name, scene) in enumerate(SCENES.items(), 1):
        save(folder / name, [*scene, INVENTED])
        images.append({"id": number, "file_name": name, "width": 64, "height": 64})
        for x1, y1, x2, y2, color, _ in scene:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": categories[color], "image_id": number}
            annotations.append({"id": len(annotations) + 1, "iscrowd": 0, "area": 400, **box})
    truth = folder / "truth.json"
    named = [{"id": number, "name": name} for name, number in categories.items()]
    truth.write_text(json.dumps({"images": images, "annotations": annotations, "categories": named}))
    strategy = registry.get("labeler", "colors").strategy
    detector = strategy(strategy.Params())
    assert isinstance(detector, Detector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annealing, "CLASSES", tuple(categories))
        return annealing.measure(detector, annealing.photos(folder, truth), truth)


def counted(points: list[Point], rule: str, end: float) -> tuple[int, int]:
    [one] = [one for one in of(points, rule, "nms") if one.end == end]  # type: ignore[arg-type]
    return one.found, one.right


def test_each_rule_finds_what_its_rounds_let_in(points: list[Point]) -> None:
    assert {one.true for one in points} == {5}
    assert counted(points, "once", 0.5) == (3, 3)
    assert counted(points, "once", 0.4) == (4, 4)
    assert counted(points, "once", 0.1) == (7, 5)
    assert counted(points, "missing", 0.5) == (3, 3)
    assert counted(points, "missing", 0.4) == (3, 3)
    assert counted(points, "missing", 0.1) == (4, 4)


def test_all_is_one_round_at_the_last_threshold(points: list[Point]) -> None:
    assert all(same_as_once(points, aggregator) for aggregator in AGGREGATORS)
    spoilt = [replace(one, right=0) if (one.rule, one.end) == ("all", 0.1) else one for one in points]
    assert not same_as_once(spoilt, "nms")


def test_the_round_that_a_box_needed(points: list[Point]) -> None:
    assert [row[:3] for row in by_round(points, "nms")] == [
        ("0.5", "3", "0"),
        ("0.4", "1", "0"),
        ("0.275", "1", "0"),
        ("0.175", "0", "2"),
    ]
    assert [row[3:] for row in by_round(points, "nms")][-1] == ("0.714", "1.000")


def test_equal_precision_takes_the_best_recall(points: list[Point]) -> None:
    rows = {(rule, aggregator): cells for rule, aggregator, *cells in equal_precision(points)}
    assert rows["one round", "nms"] == ["1.000 (0.275)"] * 4
    assert rows["`ask: missing`", "nms"] == ["0.800 (0.275)"] * 4
    assert ("`ask: missing`", "nms", "0.1", "4", "1.000", "0.800") in list(fixed_points(points))
