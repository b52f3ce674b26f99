"""FiftyOne with a database: data sets are stored and read again, models are applied, corrections come home.

Runs where FiftyOne is installed and ``FIFTYONE_DATABASE_URI`` names a MongoDB server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.results.ledger import read_labels
from autolabel.types import Labels

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.skipif("FIFTYONE_DATABASE_URI" not in os.environ, reason="FIFTYONE_DATABASE_URI is not set"),
]


@pytest.fixture
def fiftyone() -> Iterator[Any]:
    module = pytest.importorskip("fiftyone")
    before = set(module.list_datasets())
    yield module
    for name in set(module.list_datasets()) - before:
        module.delete_dataset(name)


def content(detections: Any) -> list[tuple[str, list[float], float, list[list[bool]]]]:
    return [
        (one.label, [round(place, 6) for place in one.bounding_box], round(one.confidence, 6), one.mask.tolist())
        for one in detections
    ]


def named_boxes(row: Labels) -> list[tuple[str, list[float]]]:
    names = [row.prompt.phrases[label] for label in row.instances.labels]
    return sorted(zip(names, row.instances.boxes.round(1).tolist(), strict=True))


def test_a_run_is_stored_as_a_data_set(fiftyone: Any, run: Path) -> None:
    from autolabel.integrations.fiftyone import to_fiftyone

    name = to_fiftyone(run).name
    stored = fiftyone.load_dataset(name)
    rows = {row.image.id: row for row in read_labels(run)}
    assert stored.values("autolabel_image") == ["0.png", "1.png", "2.png"] and stored.info["autolabel_run"] == str(run)
    for sample in stored:
        row = rows[sample["autolabel_image"]]
        assert len(sample["autolabel"].detections) == len(row.instances)
        for index, one in enumerate(sample["autolabel"].detections):
            x1, y1, x2, y2 = row.instances.boxes[index]
            assert one.bounding_box == pytest.approx([x1 / 80, y1 / 64, (x2 - x1) / 80, (y2 - y1) / 64])
            assert one.confidence == pytest.approx(float(row.instances.scores[index]))
            assert (one.support_looks, one.support_asked) == ((row.instances.support or ())[index].looks, 2)
            mask = (row.instances.masks or ())[index]
            assert mask is not None
            left, top, right, bottom = np.rint([x1, y1, x2, y2]).astype(int)
            assert np.array_equal(one.mask, mask.decode()[top:bottom, left:right])


def test_a_spec_is_applied_as_a_model(fiftyone: Any, run: Path) -> None:
    from autolabel.integrations.fiftyone import Model, to_fiftyone

    wanted = {Path(one.filepath).name: content(one["autolabel"].detections) for one in to_fiftyone(run)}
    photos = run.parent / "photos"
    (photos / "torn.png").write_bytes((photos / "0.png").read_bytes()[:60])
    others = fiftyone.Dataset.from_images_dir(str(photos))
    with Model(run) as model:
        others.apply_model(model, label_field="found", batch_size=2, skip_failures=True)
    found = {Path(one.filepath).name: one["found"] for one in others}
    assert found.pop("torn.png") is None, "one bad image stops nothing"
    assert {name: content(one.detections) for name, one in found.items()} == wanted


def test_corrections_in_the_database_come_home(fiftyone: Any, run: Path) -> None:
    from autolabel.integrations.fiftyone import from_fiftyone, to_fiftyone

    dataset = to_fiftyone(run)
    name, sample = dataset.name, dataset.first()
    red, blue = sample["autolabel"].detections
    red.bounding_box, blue.label = [10 / 80, 3 / 64, 18 / 80, 17 / 64], "green"
    sample.tags.append("checked")
    sample.save()
    del dataset, sample
    applied = from_fiftyone(fiftyone.load_dataset(name).match_tags("checked"))
    assert applied.images == 1 and applied.counts["moved"] == 1
    again = to_fiftyone(run)
    assert again.match_tags("checked").count() == 1
    boxes = again.match_tags("checked").first()["autolabel"].detections
    assert sorted(one.label for one in boxes) == ["green", "red"]
    assert from_fiftyone(again).new == 0, "what came home is what goes out"
    assert next(named_boxes(row) for row in read_labels(run)) == [
        ("blue", [30.0, 30.0, 50.0, 60.0]),
        ("red", [2.0, 3.0, 20.0, 20.0]),
    ], "the labels of the model stay beside the decisions"
