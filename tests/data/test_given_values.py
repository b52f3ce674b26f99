"""Whatever a COCO file holds, rows can be written, read and exported: a bad entry fails itself."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from autolabel.data.collect import collect
from autolabel.data.inputs import Input, decode_input, encode_input
from autolabel.errors import DataError
from autolabel.results import record
from autolabel.spec.data import DataSpec
from autolabel.types import Labels, Provenance
from autolabel_exporters.coco import Coco

GOOD: dict[str, Any] = {
    "info": {"year": 2026},
    "licenses": [{"id": 1, "name": "CC0"}],
    "images": [
        {"id": 0, "file_name": "a.png", "width": 32, "height": 24, "license": 1}, {"id": 9, "file_name": "b.png"}
    ],
    "categories": [
        {"id": 90, "name": "cat", "supercategory": "animal", "keypoints": ["nose"], "skeleton": [[1, 1]]},
        {"id": 3, "name": "unused"},
    ],
    "annotations": [
        {"id": 5, "image_id": 0, "category_id": 90, "bbox": [1, 2, 8, 8], "score": 0.5, "attributes": {"depth": 1.5}},
        {"id": 6, "image_id": 9, "category_id": 90, "bbox": [2, 2, 9, 9], "keypoints": [1, 2, 2], "num_keypoints": 1},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 24)).save(folder / name)
    return folder


def collected(folder: Path, document: Any) -> tuple[list[Input], dict[str, Any], list[str], tuple[str, ...]]:
    (folder / "boxes.json").write_text(json.dumps(document))
    data = DataSpec(images=(str(folder),), boxes=str(folder / "boxes.json"))
    inputs = collect(data, max_pixels=10**6, threads=1)
    rows = sorted((decode_input(encode_input(row)) for row in inputs.rows), key=lambda row: row.image)
    return rows, inputs.given, inputs.remarks(), inputs.classes


def labelled(rows: list[Input], classes: tuple[str, ...]) -> list[Labels]:
    return [record.decode_labels(record.encode_labels(row.labels(classes), "plan")) for row in rows]


def exported(folder: Path, document: Any) -> Any:
    rows, said, _, classes = collected(folder, document)
    coco = Coco(Coco.Params())
    coco.provenance = Provenance(given=json.loads(json.dumps(said, allow_nan=False)), masks=False)
    (path,) = coco.export(labelled(rows, classes), classes, folder)
    return json.loads(path.read_text())


def with_value(section: str, index: int, key: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    document[section][index][key] = value
    return document


def test_all_comes_out_as_it_came_in(folder: Path) -> None:
    out = exported(folder, GOOD)
    for name in ("info", "licenses", "categories"):
        assert out[name] == GOOD[name]
    for written, read in zip(GOOD["images"], out["images"], strict=True):
        assert written.items() <= read.items()
    for written, read in zip(GOOD["annotations"], out["annotations"], strict=True):
        assert written.items() <= read.items()


@pytest.mark.parametrize("score", ["high", 87.5, -0.1, 1e300, True, [0.5], {"a": 1}])
def test_an_annotation_of_an_impossible_score_is_left_out_by_name(folder: Path, score: Any) -> None:
    rows, _, remarks, _ = collected(folder, with_value("annotations", 0, "score", score))
    assert [len(row.boxes) for row in rows] == [0, 1]
    assert "annotation 5 is left out: score must be a number from 0 to 1" in rows[0].notes[0]
    assert any("annotation 5" in remark for remark in remarks)


@pytest.mark.parametrize("score", [None, float("nan")])
def test_a_score_that_is_none_is_told_and_counts_as_one(folder: Path, score: Any) -> None:
    rows, _, remarks, _ = collected(folder, with_value("annotations", 0, "score", score))
    assert rows[0].instances().scores.tolist() == [1.0] and remarks


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 2**70, [float("nan")], {"x": {"y": float("inf")}}])
@pytest.mark.parametrize("section", ["annotations", "images", "categories", "licenses"])
def test_what_json_cannot_carry_becomes_null_where_it_is_only_passed_on(folder: Path, section: str, value: Any) -> None:
    out = exported(folder, with_value(section, 0, "extra", value))
    assert "null" in json.dumps(out[section][0]["extra"])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-2, 99) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["a.png", "../a.png", "\ud800", 1e300, -1e300, 1e39, 2**63, 2**64, 87.5]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
boxes = st.lists(values, min_size=4, max_size=4)
KEYS = {
    "annotations": ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "score", "own"],
    "images": ["id", "file_name", "width", "height", "license"],
    "categories": ["id", "name", "supercategory"],
}
places = st.sampled_from([(section, key) for section, keys in KEYS.items() for key in keys])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=places, index=st.integers(0, 1), value=values | boxes, crowd=st.sampled_from([0, 1]))
def test_nothing_a_file_holds_is_a_bug_of_ours(
    folder: Path, place: tuple[str, str], index: int, value: Any, crowd: int
) -> None:
    document = with_value(place[0], index, place[1], value)
    if place[1] != "iscrowd":
        document["annotations"][1]["iscrowd"] = crowd
    try:
        out = exported(folder, document)
    except DataError:
        return
    assert {annotation["image_id"] for annotation in out["annotations"]} <= {image["id"] for image in out["images"]}


def test_every_part_of_a_split_has_the_categories_and_ids_that_were_given(folder: Path, tmp_path: Path) -> None:
    rows, said, _, classes = collected(folder, GOOD)
    coco = Coco(Coco.Params())
    coco.provenance = Provenance(given=said, masks=False)
    first, second = labelled(rows, classes)
    paths = coco.export_parts({"train": [first], "val": [second], "test": []}, classes, tmp_path)
    parts = [json.loads(path.read_text()) for path in paths if path.suffix == ".json"]
    assert [part["categories"] for part in parts] == [GOOD["categories"]] * 3
    assert [[image["id"] for image in part["images"]] for part in parts] == [[0], [9], []]
    assert [[one["id"] for one in part["annotations"]] for part in parts] == [[5], [6], []]
