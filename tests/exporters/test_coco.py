"""COCO files, as pycocotools and json read them."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pydantic import ValidationError

from autolabel.errors import DataError
from autolabel.types import Provenance
from autolabel.types.provenance import WeightSource
from autolabel_exporters.coco import Coco
from autolabel_exporters.coco_results import CocoResults

PYCOCOTOOLS_WARNS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ESCAPES = ["", ".", "..", "../a.json", "a/../b.json", "/a.json", "C:/a.json", "a\\b", "a\nb", "a/"]


def read(files: dict[str, Any], name: str = "annotations.json") -> Any:
    return json.loads(files[name].read_text("utf-8"))


def boxes_of(image: str, row: Any, **more: Any) -> Any:
    return row(image, [[1, 2, 11, 22], [30, 5, 50, 25.5]], labels=[0, 1], rounds=[0, 2], **more)


def test_boxes_scores_rounds_and_ids_from_one(row: Any, export: Any) -> None:
    data = read(export(Coco, [boxes_of("a/é.jpg", row), boxes_of("b.jpg", row)]))
    assert data["images"] == [
        {"id": 1, "file_name": "a/é.jpg", "height": 60, "width": 80},
        {"id": 2, "file_name": "b.jpg", "height": 60, "width": 80},
    ]
    assert data["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert [a["id"] for a in data["annotations"]] == [1, 2, 3, 4]
    assert data["annotations"][1] == {
        "id": 2,
        "image_id": 1,
        "category_id": 2,
        "bbox": [30.0, 5.0, 20.0, 20.5],
        "area": 410.0,
        "iscrowd": 0,
        "score": 0.8,
        "round": 2,
    }


def test_an_empty_image_is_listed_and_a_failed_one_is_not(row: Any, export: Any) -> None:
    data = read(export(Coco, [row("a.jpg"), row("b.jpg", failed=True), boxes_of("c.jpg", row)]))
    assert [image["file_name"] for image in data["images"]] == ["a.jpg", "c.jpg"]
    assert {a["image_id"] for a in data["annotations"]} == {2}


def test_nothing_at_all_is_still_a_coco_file(export: Any) -> None:
    data = read(export(Coco, []))
    assert (data["images"], data["annotations"], len(data["categories"])) == ([], [], 2)


def test_captions_of_one_image_share_its_record(row: Any, export: Any) -> None:
    rows = [
        row("a.jpg", [[0, 0, 9, 9]], caption="a cat", phrases=["cat"]),
        row("a.jpg", [[5, 5, 9, 9]], caption="a dog", phrases=["dog"], caption_index=1),
        row("a.jpg", caption="nothing", phrases=["dog"], caption_index=2, failed=True),
    ]
    data = read(export(Coco, rows))
    assert len(data["images"]) == 1
    assert [(a["image_id"], a["category_id"]) for a in data["annotations"]] == [(1, 1), (1, 2)]


@PYCOCOTOOLS_WARNS
def test_masks_come_back_equal_through_pycocotools(row: Any, export: Any, shapes: Any) -> None:
    masks = list(shapes.values())
    files = export(Coco, [row("a.jpg", [[10, 5, 30, 20]] * 4, masks=masks)])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(files["annotations.json"]))
    for annotation, mask in zip(coco.dataset["annotations"], masks, strict=True):
        assert np.array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        assert annotation["iscrowd"] == 0


def test_an_image_of_hundreds_of_masks(row: Any, export: Any, shapes: Any) -> None:
    masks = list(shapes.values()) * 75
    files = export(Coco, [row("a.jpg", [[10, 5, 30, 20]] * len(masks), masks=masks)])
    assert [a["area"] for a in read(files)["annotations"]] == [mask.sum() for mask in masks]


def test_many_images_are_numbered_through(row: Any, export: Any, shapes: Any) -> None:
    masks = [shapes["hole"], None]
    names = [f"{number:03}.jpg" for number in range(300)]
    rows = [
        boxes_of(name, row, masks=masks if number % 3 else None) if number % 4 else row(name)
        for number, name in enumerate(names)
    ]
    data = read(export(Coco, rows))
    assert [(image["id"], image["file_name"]) for image in data["images"]] == list(enumerate(names, 1))
    assert [a["id"] for a in data["annotations"]] == list(range(1, 451))
    assert [a["image_id"] for a in data["annotations"]] == [i + 1 for i in range(300) if i % 4 for _ in range(2)]
    masked = [a["image_id"] - 1 for a in data["annotations"] if "segmentation_of" not in a]
    assert masked == [i for i in range(300) if i % 4 and i % 3]


def test_an_object_without_a_mask_keeps_its_box(row: Any, export: Any, shapes: Any) -> None:
    files = export(Coco, [row("a.jpg", [[10, 5, 30, 20], [1, 1, 3, 5]], masks=[shapes["plain"], None])])
    first, second = read(files)["annotations"]
    assert isinstance(first["segmentation"], dict) and "segmentation_of" not in first
    assert (second["segmentation"], second["segmentation_of"]) == ([[1, 1, 1, 5, 3, 5, 3, 1]], "box")
    assert (first["area"], second["area"]) == (300.0, 8.0)
    [bare] = read(export(Coco, [row("a.jpg", [[10, 5, 30, 20]])]))["annotations"]
    assert "segmentation" not in bare and "segmentation_of" not in bare, "a run of boxes alone"


@pytest.mark.parametrize("form", ["rle", "polygons"])
@pytest.mark.parametrize("first", [True, False])
def test_objects_without_a_mask_do_not_break_the_evaluation_of_masks(
    row: Any, export: Any, shapes: Any, form: str, first: bool
) -> None:
    masked = row("b.jpg", [[10, 5, 30, 20], [10, 30, 40, 50]], masks=[shapes["plain"], shapes["hole"]])
    mixed = row("c.jpg", [[10, 5, 30, 20], [40, 5, 70, 15]], masks=[None, shapes["parts"]])
    bare = row("a.jpg" if first else "d.jpg", [[1, 2, 11, 22]])
    rows = sorted([masked, mixed, bare, row("e.jpg")], key=lambda one: one.image.id)
    truth = export(Coco, rows, segmentation=form)["annotations.json"]
    results = export(CocoResults, rows)["results.json"]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_layouts_are_those_of_their_readers(row: Any, tmp_path: Path) -> None:
    made = [row(name, [[10, 5, 30, 20]]) for name in ("a.jpg", "a.png", "in/b.jpg")]
    rows = [replace(one, image=replace(one.image, path=str(tmp_path / one.image.id))) for one in made]
    for one in rows:
        Path(one.image.path).parent.mkdir(exist_ok=True)
        Path(one.image.path).write_bytes(b"pixels")
    parts = {"train": rows[:2], "val": rows[2:], "test": []}
    wanted = {
        ("roboflow", False): ["train/_annotations.coco.json"],
        ("datumaro", False): ["annotations/instances_default.json"],
        ("annotations", False): ["annotations.json"],
        ("roboflow", True): [f"{part}/_annotations.coco.json" for part in ("test", "train", "valid")],
        ("datumaro", True): [f"annotations/instances_{part}.json" for part in ("test", "train", "val")],
        ("annotations", True): [f"{part}/annotations.json" for part in ("test", "train", "val")],
    }
    for (layout, split), files in wanted.items():
        out = tmp_path / f"{layout}-{split}"
        out.mkdir()
        exporter = Coco(Coco.Params(layout=layout, images="copy"))
        written = exporter.export_parts(parts, ["cat", "dog"], out) if split else exporter.export(rows, ["cat"], out)
        assert all(path.exists() for path in written)
        assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.json")) == files
        for name in files:
            part = name.removesuffix(".json").rpartition("_")[2]
            root = {"roboflow": out / name.split("/")[0], "datumaro": out / "images" / part}.get(
                layout, (out / name).parent / "images"
            )
            listed = [image["file_name"] for image in json.loads((out / name).read_text())["images"]]
            assert all((root / listed_name).is_file() for listed_name in listed)
            stems = [listed_name.rpartition(".")[0] for listed_name in listed]
            assert layout != "datumaro" or len(set(stems)) == len(stems)


def test_info_tells_plan_weights_and_licence(row: Any, tmp_path: Path) -> None:
    exporter = Coco(Coco.Params())
    weights = WeightSource(labeler="mal", file="m.pth", sha256="ab", licence="cc-by-nc-4.0")
    exporter.provenance = Provenance(autolabel="1.2", plan="cd", labelers=("mal",), weights=(weights,))
    [path] = exporter.export([row("a.jpg")], ["cat", "dog"], tmp_path)
    info = json.loads(path.read_text())["info"]
    assert (info["plan"], info["autolabel"]) == ("cd", "1.2")
    assert info["weights"] == [{"labeler": "mal", "file": "m.pth", "sha256": "ab", "licence": "cc-by-nc-4.0"}]


def test_labels_scored_against_themselves_are_perfect(row: Any, export: Any, shapes: Any) -> None:
    masks = [shapes["plain"], shapes["hole"], shapes["parts"]]
    boxes = [[10, 5, 30, 20], [10, 30, 40, 50], [40, 5, 70, 15]]
    rows = [row(name, boxes, labels=[0, 1, 0], masks=masks) for name in ("a.jpg", "b.jpg")]
    truth, results = export(Coco, rows)["annotations.json"], export(CocoResults, rows)["results.json"]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(coco, coco.loadRes(str(results)), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == pytest.approx(1.0), kind


def test_given_annotations_come_back_with_id_category_and_extra_fields(row: Any, export: Any, shapes: Any) -> None:
    given = [
        {"id": 70, "category_id": 18, "image_id": 9, "iscrowd": 0, "attributes": {"occluded": True}},
        {"id": 7, "category_id": 3, "image_id": 9, "iscrowd": 1, "note": "é\n", "bbox": "ours wins"},
    ]
    masks = [shapes["plain"], shapes["hole"]]
    rows = [row("a.jpg", [[10, 5, 30, 20], [10, 30, 40, 50]], labels=[1, 0], given=given, masks=masks, rounds=-1)]
    data = read(export(Coco, [*rows, row("b.jpg")], classes=["cat", "dog", "cow"]))
    first, second = data["annotations"]
    assert (first["id"], first["category_id"], first["attributes"]) == (70, 18, {"occluded": True})
    assert (second["id"], second["category_id"], second["iscrowd"], second["note"]) == (7, 3, 1, "é\n")
    assert second["bbox"] == [10.0, 30.0, 30.0, 20.0]
    assert [image["id"] for image in data["images"]] == [9, 10]
    assert {(c["id"], c["name"]) for c in data["categories"]} == {(3, "cat"), (18, "dog"), (19, "cow")}


@pytest.mark.parametrize("ids", [(5, 5), (-1, 1), ("a", "b"), (True, 2), (1, 2**70), (1.0, 2.0)])
def test_unusable_given_ids_are_counted_from_one_and_kept_beside(ids: Any, row: Any, export: Any) -> None:
    given = [{"id": number, "category_id": 4} for number in ids]
    made = read(export(Coco, [row("a.jpg", [[0, 0, 5, 5], [5, 5, 9, 9]], given=given)]))["annotations"]
    assert [a["id"] for a in made] == [1, 2]
    assert [a.get("given_id") for a in made] == list(ids)
    assert [a["category_id"] for a in made] == [4, 4]


def test_two_files_that_number_categories_differently_are_renumbered(row: Any, export: Any) -> None:
    rows = [
        row("a.jpg", [[0, 0, 5, 5]], given=[{"id": 1, "category_id": 1}]),
        row("b.jpg", [[0, 0, 5, 5]], labels=[1], given=[{"id": 2, "category_id": 1}]),
    ]
    data = read(export(Coco, rows))
    assert [a["category_id"] for a in data["annotations"]] == [1, 2]
    assert [c["id"] for c in data["categories"]] == [1, 2]


def test_categories_that_share_a_name_keep_both_ids(row: Any, export: Any) -> None:
    given = [{"id": 1, "category_id": 3}, {"id": 2, "category_id": 8}]
    data = read(export(Coco, [row("a.jpg", [[0, 0, 5, 5], [1, 1, 6, 6]], given=given)], classes=["cat"]))
    assert [a["category_id"] for a in data["annotations"]] == [3, 8]
    assert data["categories"] == [{"id": 3, "name": "cat"}, {"id": 8, "name": "cat"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_cannot_carry_are_refused(value: float, row: Any, export: Any) -> None:
    with pytest.raises(DataError, match=r"a\.jpg"):
        export(Coco, [row("a.jpg", [[0, 0, value, 5]])])
    with pytest.raises(DataError, match=r"a\.jpg"):
        export(Coco, [row("a.jpg", [[0, 0, 5, 5]], scores=[value])])
    with pytest.raises(DataError, match=r"annotation 1/depth/0: .* not a finite number"):
        export(Coco, [row("a.jpg", [[0, 0, 5, 5]], given=[{"id": 1, "depth": [value]}])])


def test_the_file_may_lie_in_a_folder(row: Any, export: Any) -> None:
    assert list(export(Coco, [row("a.jpg")], path="deep/er/labels.json")) == ["deep/er/labels.json"]


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../a.json", "a/../b.json", "/a.json", "C:/a.json", "a\\b", "a\nb", "a/"]
)
def test_a_path_that_leaves_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="must"):
        Coco.Params(path=path)


def test_equal_labels_give_equal_bytes_and_leave_nothing_else(row: Any, export: Any) -> None:
    rows = [boxes_of("a.jpg", row), row("b.jpg")]
    first, second = export(Coco, iter_again(rows)), export(Coco, iter_again(rows))
    assert first["annotations.json"].read_bytes() == second["annotations.json"].read_bytes()
    assert list(first) == ["annotations.json"]


class iter_again:
    """An iterable that is no list, such as the store's."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        yield from self.rows


def test_results_hold_detections_only(row: Any, export: Any) -> None:
    data = read(export(CocoResults, [row("a.jpg"), boxes_of("b.jpg", row)]), "results.json")
    assert data[1] == {"image_id": 2, "category_id": 2, "bbox": [30.0, 5.0, 20.0, 20.5], "score": 0.8}
    assert len(data) == 2
    assert read(export(CocoResults, []), "results.json") == []
