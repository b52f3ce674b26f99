"""What looks bring is measured rightly: on drawn rectangles whose scores are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autolabel.detectors import Looking
from autolabel.evaluate.probability import JudgedBoxes
from autolabel.registry import Registry
from autolabel.strategies import Detector
from benchmarks import looks
from benchmarks.looks import LOOKS, PRECISIONS, Row, asked, held_back, keep, measure, photos, read, shown, table, ways

SCENES = {
    "sure.png": [(4, 4, 24, 24, "red", 0.9), (30, 4, 50, 24, "red", 0.42), (4, 36, 24, 56, "blue", 0.8)],
    "doubtful.png": [(4, 4, 24, 24, "red", 0.3), (30, 4, 50, 24, "red", 0.25), (4, 36, 24, 56, "blue", 0.7)],
}
INVENTED = (30, 36, 50, 56, "red", 0.2)
"""Found in every picture, and nowhere true."""


@pytest.fixture(scope="module")
def rows(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    from autolabel_colors import save

    folder = tmp_path_factory.mktemp("photos")
    images, annotations = [], []
    for number, (name, scene) in enumerate(SCENES.items(), 1):
        save(folder / name, [*scene, INVENTED])
        images.append({"id": number, "file_name": name, "width": 64, "height": 64})
        for x1, y1, x2, y2, color, _ in scene:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": 1 + (color == "blue"), "image_id": number}
            annotations.append({"id": len(annotations) + 1, "iscrowd": 0, "area": 400, **box})
    named = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    truth = folder / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": annotations, "categories": named}))
    inner = registry.make("labeler", "colors", {})
    assert isinstance(inner, Detector)
    detector = Looking(inner, {name: registry.make("look", name, {}) for name in LOOKS}, ahead=0)
    samples = photos(folder, truth)
    assert [sample.image.id for sample in samples] == sorted(SCENES)
    made = measure("drawn", samples, truth, [asked(detector, sample) for sample in samples])
    return {row.way: row for row in made}


def test_every_way_is_measured_once(rows: dict[str, Row]) -> None:
    assert list(rows) == [way.name for way in ways()] and len(rows) == 8
    assert {(row.data, row.photos) for row in rows.values()} == {("drawn", 2)}


def test_passes_are_those_that_a_way_asks_for(rows: dict[str, Row]) -> None:
    assert rows["one look"].passes == rows["`ask: all`"].passes == 1
    assert rows["two looks, every round"].passes == 2 and rows["three looks, every round"].passes == 3
    assert rows["`ask: missing` (TAO)"].passes == 1.5, "red has no box above 0.5 in one of the photos"
    assert rows["three looks, by round"].passes == 1, "two or three boxes of a middling score are no doubt"


def test_precision_and_recall_by_hand(rows: dict[str, Row]) -> None:
    assert rows["one look"].ap50 == pytest.approx(1) and set(rows["one look"].recalls) == {1}
    second_red_is_missed = pytest.approx((5 / 6,) * len(PRECISIONS))
    assert rows["`ask: missing` (TAO)"].recalls == second_red_is_missed
    assert set(rows["three looks, every round"].recalls) == {1}, "looks that see the same change nothing"


def test_chances_are_learnt_from_other_photos() -> None:
    images, right = np.repeat(np.arange(40), 5), np.tile([True, False, False, False, False], 40)
    boxes = JudgedBoxes(
        images=images, scores=np.full(200, 0.9), share=np.ones(200), classes=("red",) * 200, right=right
    )
    before, after = held_back(boxes)
    assert before == pytest.approx(0.7) and after < 0.01
    wrong_there = JudgedBoxes(
        images=images,
        scores=np.full(200, 0.9),
        share=np.ones(200),
        classes=("red",) * 200,
        right=np.where(images % 2 == 1, False, right),
    )
    assert held_back(wrong_there)[1] == pytest.approx(0.2, abs=0.01), "what the held photos hold is not learnt"


def test_rows_are_kept_for_the_documentation(rows: dict[str, Row], tmp_path: Path) -> None:
    record = tmp_path / "looks.json"
    keep(list(rows.values()), record)
    other = [replace(row, data="other") for row in rows.values()]
    keep(other, record)
    keep(list(rows.values()), record)
    assert read(record) == [*other, *rows.values()], "other sets stay, and each stands there once"
    keep(other, record := tmp_path / "alone.json")
    assert read(record) == other
    keep(list(rows.values()), record := tmp_path / "looks2.json")
    lines = table(read(record)).splitlines()
    assert len(lines) == 2 + len(rows) and lines[2].startswith("| one look | 1.00 | 1.000 |")
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert {row.data for row in read(looks.RECORD)} == {"bccd", "cards", "aquarium"}


def test_shown_are_the_highest_precisions_that_every_way_reaches(rows: dict[str, Row]) -> None:
    good = rows["one look"]
    assert shown([good]) == [0, 1, 2], "all are reached"
    never = replace(good, recalls=(0.009,) * len(PRECISIONS))
    low = replace(good, recalls=tuple(0.0 if precision > 0.3 else 0.2 for precision in PRECISIONS))
    assert [PRECISIONS[place] for place in shown([good, low])] == [0.3, 0.2, 0.1], "one way does not reach the others"
    assert shown([good, never]) == [0, 1, 2], "where nothing is reached, the highest show it"
    head = table([good, low]).splitlines()[0]
    assert "recall at 0.3 | recall at 0.2 | recall at 0.1 | D-ECE" in head and "0.9" not in head
    assert table([good, low]).splitlines()[3].count(" 0.200 ") == 3
