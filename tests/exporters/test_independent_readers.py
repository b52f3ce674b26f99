"""Exported files as the tools' own SDKs, datumaro and labelformat read them; each judge is skipped where it is missing.

cvat-sdk and labelformat come with the development tools. label-studio-sdk and datumaro pull OpenCV and pin other
versions than ours: they judge where somebody installed them.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel_exporters.coco import Coco
from autolabel_exporters.cvat import Cvat
from autolabel_exporters.kitti import Kitti
from autolabel_exporters.label_studio import LabelStudio
from autolabel_exporters.voc import Voc
from autolabel_exporters.yolo import Yolo

CLASSES = ["red car", "<é 猫>"]
BOXES = [[1, 2, 11, 22], [30, 5, 50, 26]]
NAMED = [("red car", BOXES[0]), ("<é 猫>", BOXES[1])]
IMAGES = ["in/é.jpg", "none.jpg"]
QUIET = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def rows(row: Any) -> list[Any]:
    return [row(IMAGES[0], BOXES, labels=[0, 1], phrases=CLASSES), row(IMAGES[1], phrases=CLASSES)]


@pytest.fixture
def masked(row: Any, shapes: Any) -> list[Any]:
    boxes = [[10, 5, 30, 20], [10, 30, 40, 50], [40, 5, 70, 15]]
    masks = [shapes["plain"], shapes["hole"], shapes["parts"]]
    return [row("a.jpg", boxes, labels=[0, 1, 0], phrases=CLASSES, masks=masks)]


@pytest.fixture
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for name in IMAGES:
        (root / name).parent.mkdir(exist_ok=True)
        Pillow.new("RGB", (80, 60)).save(root / name)
    return root


def by_labelformat(reader: Any) -> dict[str, list[tuple[str, list[float]]]]:
    from labelformat.model.bounding_box import BoundingBoxFormat

    return {
        one.image.filename: [(item.category.name, item.box.to_format(BoundingBoxFormat.XYXY)) for item in one.objects]
        for one in reader.get_labels()
    }


def boxes_of(dataset: Any) -> dict[str, list[tuple[str, list[float]]]]:
    names = [label.name for label in dataset.categories()[next(iter(dataset.categories()))].items]
    return {
        item.id: [
            (names[one.label], [round(v, 3) for v in one.points]) for one in item.annotations if hasattr(one, "points")
        ]
        for item in dataset
    }


@QUIET
def test_label_studio_s_sdk_takes_tasks_and_interface(rows: Any, masked: Any, export: Any) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface", exc_type=ImportError)
    for labels in (rows, masked):
        files = export(LabelStudio, labels, CLASSES)
        interface = interfaces.LabelInterface(files["label_config.xml"].read_text("utf-8"))
        interface.validate()
        for task in json.loads(files["tasks.json"].read_text("utf-8")):
            assert interface.validate_task({"data": task["data"]})
            for prediction in task["predictions"]:
                assert interface.validate_prediction(prediction, return_errors=True) == []
                strange = json.loads(json.dumps(prediction).replace("red car", "lorry"))
                assert not prediction["result"] or interface.validate_prediction(strange, return_errors=True)


@QUIET
def test_label_studio_s_converter_unpacks_the_masks(masked: Any, shapes: Any, export: Any) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", exc_type=ImportError)
    (task,) = json.loads(export(LabelStudio, masked, CLASSES)["tasks.json"].read_text())
    for result, name in zip(task["predictions"][0]["result"], ("plain", "hole", "parts"), strict=True):
        pixels = brush.decode_rle(result["value"]["rle"]).reshape(60, 80, 4)[:, :, 3]
        assert np.array_equal(pixels > 0, shapes[name])


@QUIET
def test_cvat_s_sdk_decodes_the_masks(masked: Any, shapes: Any, export: Any) -> None:
    masks = pytest.importorskip("cvat_sdk.masks", exc_type=ImportError)
    root = ElementTree.parse(export(Cvat, masked, CLASSES)["annotations.xml"]).getroot()
    for found, name in zip(root.iter("mask"), ("plain", "hole", "parts"), strict=True):
        left, top, width, height = (int(found.get(key) or "") for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in (found.get("rle") or "").split(",")]
        code = [*runs, left, top, left + width - 1, top + height - 1]
        assert np.array_equal(masks.decode_mask(code, image_width=80, image_height=60), shapes[name])


@QUIET
def test_labelformat_reads_boxes_of_every_format_that_it_knows(rows: Any, photos: Path, export: Any) -> None:
    formats = pytest.importorskip("labelformat.formats", exc_type=ImportError)
    wanted = {IMAGES[0]: NAMED, IMAGES[1]: []}
    coco = export(Coco, rows, CLASSES)["annotations.json"]
    assert by_labelformat(formats.COCOObjectDetectionInput(input_file=coco)) == wanted
    cvat = export(Cvat, rows, CLASSES)["annotations.xml"]
    declaration, _, rest = cvat.read_text("utf-8").partition("\n")
    assert declaration.startswith("<?xml")
    cvat.write_text(rest, "utf-8")  # where lxml is installed, labelformat stops at a declaration, CVAT's own too
    assert by_labelformat(formats.CVATObjectDetectionInput(input_file=cvat)) == wanted
    yolo = export(Yolo, rows, CLASSES, images=str(photos))["data.yaml"]
    read = by_labelformat(formats.YOLOv8ObjectDetectionInput(input_file=yolo, input_split="train"))
    assert read.keys() == {"in__é.jpg", IMAGES[1]} and read[IMAGES[1]] == []
    for (name, box), (true_name, true_box) in zip(read["in__é.jpg"], NAMED, strict=True):
        assert name == true_name and box == pytest.approx(true_box, abs=1e-3)


@QUIET
def test_labelformat_reads_voc_and_kitti(rows: Any, photos: Path, export: Any) -> None:
    formats = pytest.importorskip("labelformat.formats", exc_type=ImportError)
    voc = export(Voc, rows, CLASSES)["ImageSets/Main/default.txt"].parents[2]
    folders = [voc / "Annotations" / "in", voc / "Annotations"]
    read: dict[str, Any] = {}
    for folder in folders:
        read |= by_labelformat(
            formats.PascalVOCObjectDetectionInput(input_folder=folder, category_names=",".join(CLASSES))
        )
    assert read == {IMAGES[0]: NAMED, IMAGES[1]: []}
    kitti = export(Kitti, rows, CLASSES)["labelmap.json"]
    names = json.loads(kitti.read_text("utf-8"))
    reader = formats.KittiObjectDetectionInput(
        input_folder=kitti.parent / "label_2/in", category_names=",".join(names), images_rel_path=str(photos / "in")
    )
    found = by_labelformat(reader)
    assert {name: [(names[word], box) for word, box in objects] for name, objects in found.items()} == {"é.jpg": NAMED}


@QUIET
def test_datumaro_reads_coco_with_masks(masked: Any, shapes: Any, export: Any) -> None:
    datumaro = pytest.importorskip("datumaro", exc_type=ImportError)
    name = "annotations/instances_default.json"
    path = export(Coco, masked, CLASSES, path=name)[name]
    (path.parents[1] / "images").mkdir()  # datumaro wants the folder, if only an empty one
    (item,) = list(datumaro.Dataset.import_from(str(path), "coco_instances"))
    assert item.id == "a"
    masks = {one.attributes["score"]: np.asarray(one.image) > 0 for one in item.annotations if one.type.name == "mask"}
    for score, name in ((0.9, "plain"), (0.8, "hole"), (0.7, "parts")):
        assert np.array_equal(masks[score], shapes[name]), name


@QUIET
def test_datumaro_reads_cvat_and_voc(rows: Any, photos: Path, export: Any) -> None:
    datumaro = pytest.importorskip("datumaro", exc_type=ImportError)
    path = export(Cvat, rows, CLASSES)["annotations.xml"]
    (path.parent / "images").symlink_to(photos)  # datumaro looks for them there
    cvat = datumaro.Dataset.import_from(str(path), "cvat")
    assert boxes_of(cvat) == {"in/é": NAMED, "none": []}
    voc = export(Voc, rows, CLASSES)["labelmap.txt"].parent
    assert boxes_of(datumaro.Dataset.import_from(str(voc), "voc_detection")) == {"in/é": NAMED, "none": []}
