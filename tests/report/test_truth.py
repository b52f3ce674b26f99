"""Comparing with ground truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from autolabel.errors import DataError
from autolabel.report.truth import TrueBox, match_to_truth, read_truth
from tests.report.rows import make_row


def write(path: Path, names: list[str]) -> Path:
    boxes = [(1, 1, [10, 20, 30, 40], 0), (2, 1, [0, 0, 50, 50], 1), (3, 1, [5, 5, 0, 9], 0), (4, 2, [1, 1, 2, 2], 0)]
    coco = {
        "images": [
            {"id": index + 1, "file_name": name, "width": 160, "height": 120} for index, name in enumerate(names)
        ],
        "categories": [{"id": 7, "name": "cell"}],
        "annotations": [
            {"id": id, "image_id": image, "category_id": 7, "bbox": box, "iscrowd": crowd}
            for id, image, box, crowd in boxes
        ],
    }
    path.write_text(json.dumps(coco))
    return path


def test_boxes_come_as_corners_without_crowds_and_empty_ones(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path / "gt.json", ["a.jpg", "other.jpg"]), ["x/a.jpg"])
    assert truth == {"x/a.jpg": [TrueBox((10, 20, 40, 60), "cell")]}


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text('{"images": 3')
    with pytest.raises(DataError):
        read_truth(tmp_path / "gt.json", [])


def test_names_that_are_known_already_are_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "gt.json", ["a.jpg", "other.jpg"])
    known = {"a.jpg": "y/a.jpg", "other.jpg": "x/b.jpg"}
    assert read_truth(path, ["x/a.jpg", "y/a.jpg"], image_of=known) == {"y/a.jpg": [TrueBox((10, 20, 40, 60), "cell")]}
    assert read_truth(path, ["x/a.jpg", "y/a.jpg"]) == {}


def test_the_surest_box_of_the_class_takes_a_true_box() -> None:
    row = make_row(
        "a.jpg",
        [[0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 10], [50, 50, 60, 60]],
        scores=[0.4, 0.9, 0.95, 0.9],
        labels=[0, 0, 1, 0],
    )
    true = [TrueBox((0, 0, 10, 10), "cell"), TrueBox((90, 90, 99, 99), "cell")]
    assert match_to_truth(row.instances, row.prompt.phrases, true) == [-1, 0, -1, -1]
    assert match_to_truth(row.instances, row.prompt.phrases, []) == [-1] * 4


def test_matches_above_a_threshold_do_not_depend_on_lower_boxes() -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 60, (30, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (30, 2))], axis=1)
    scores = rng.permutation(np.linspace(0.2, 0.9, 30))
    row = make_row("a.jpg", boxes.tolist(), scores=scores.tolist())
    true = [TrueBox(tuple(box), "cell") for box in (boxes[:12] + rng.normal(0, 2, (12, 4))).tolist()]
    everything = np.asarray(match_to_truth(row.instances, row.prompt.phrases, true))
    high = scores >= 0.5
    alone = match_to_truth(row.instances.take(high), row.prompt.phrases, true)
    assert everything[high].tolist() == alone
    assert max(alone) >= 0
