"""A small data set through every format and back: it carries what the table of docs/formats.md says."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw
from pycocotools import mask as coco_masks

from tests.exporters.test_losses import table
from tests.exporters.test_tool_formats import cvat_mask, unpack

Mask = npt.NDArray[np.bool_]
Files = Mapping[str, Path]

SIZE = (60, 80)
NAMES = ["cat", 'a <b> & "ü" 猫']
OPTIONS: dict[str, dict[str, Any]] = {"yolo": {"segmentation": True, "images": None}, "kitti": {"scores": True}}
TOLERANCE = {"0.001 px": 0.001, "1e-6 of the side": 1e-4, "whole pixels": 1.0, "0.01 px": 0.01, "1e-6 %": 1e-4}


@dataclass
class Found:
    """One object as a format gives it back; None is what it does not say."""

    name: str
    box: list[float] | None = None
    score: float | None = None
    mask: Mask | None = None


Back = dict[str, list[Found]]


@pytest.fixture
def sent(row: Any, shapes: Any) -> list[Any]:
    """Boxes of two classes below a folder; masks with a hole and of two parts; an empty image; a failed one."""
    edges = [[10, 5, 30, 20], [10, 30, 40, 50], [40, 5, 70, 15], [78, 58, 79, 59]]
    return [
        row("in/é 猫.jpg", [[1, 2, 11, 22], [30.25, 5, 50, 25.5]], labels=[1, 0], phrases=NAMES),
        row("m.jpg", edges, labels=[0, 1, 0, 1], masks=list(shapes.values()), phrases=NAMES),
        row("none.jpg", phrases=NAMES),
        row("no.jpg", failed=True, phrases=NAMES),
    ]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_back_and_equal(exporter: Any, sent: list[Any], export: Any) -> None:
    told = {aspect: cells[exporter.name] for aspect, cells in table().items()}
    back = READERS[exporter.name](export(exporter, sent, NAMES, **OPTIONS.get(exporter.name, {})))
    listed = {"in/é 猫.jpg", "m.jpg"}
    listed |= {"none.jpg"} if told["empty image"] != "lost" else set()
    listed |= {"no.jpg"} if exporter.name == "parquet" else set()
    assert set(back) == listed
    assert back.get("none.jpg", []) == []
    for labels in sent[:2]:
        found = back[labels.image.id]
        order = [NAMES[label] for label in labels.instances.labels]
        assert [one.name for one in found] == order
        masks = labels.instances.masks or [None] * len(found)
        for one, box, score, mask in zip(found, labels.instances.boxes, labels.instances.scores, masks, strict=True):
            carries_mask = mask is not None and told["masks"] != "lost"
            assert (one.mask is not None) == carries_mask
            if one.mask is not None and mask is not None:
                assert np.array_equal(one.mask, mask.decode())
            assert one.box is not None or (
                carries_mask and told["box besides the mask"] in ("one or the other", "optional")
            )
            if one.box is not None:
                assert one.box == pytest.approx(box.tolist(), abs=TOLERANCE[told["boxes"]])
            assert (one.score is None) == (told["score"] == "lost")
            assert one.score is None or one.score == pytest.approx(score, abs=1e-4)


def corners(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y + height]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def coco(files: Files) -> Back:
    data = json.loads(files["annotations.json"].read_text())
    names = {one["id"]: one["name"] for one in data["categories"]}
    images = {one["id"]: one["file_name"] for one in data["images"]}
    back: Back = {name: [] for name in images.values()}
    for one in data["annotations"]:
        assert one["id"] > 0 and one["iscrowd"] == 0
        own = "segmentation" in one and "segmentation_of" not in one
        mask = coco_masks.decode(one["segmentation"]).astype(bool) if own else None
        found = Found(names[one["category_id"]], corners(*one["bbox"]), one["score"], mask)
        back[images[one["image_id"]]].append(found)
    return back


def coco_results(files: Files) -> Back:
    """Ids only: images and categories are numbered in the order of their names and of the classes."""
    back: Back = {}
    for one in json.loads(files["results.json"].read_text()):
        mask = coco_masks.decode(one["segmentation"]).astype(bool) if "segmentation" in one else None
        found = Found(NAMES[one["category_id"] - 1], corners(*one["bbox"]), one["score"], mask)
        back.setdefault(["in/é 猫.jpg", "m.jpg", "none.jpg"][one["image_id"] - 1], []).append(found)
    return back


def odvg(files: Files) -> Back:
    names = json.loads(files["labelmap.json"].read_text("utf-8"))
    return {
        one["file_name"]: [
            Found(names[str(thing["label"])], thing["bbox"], thing["score"]) for thing in one["detection"]["instances"]
        ]
        for one in lines(files["annotations.jsonl"])
    }


def tao(files: Files) -> Back:
    names = json.loads(files["labelmap.json"].read_text("utf-8"))
    return {
        one["file_name"]: [Found(names[str(box["label"])], box["bbox"]) for box in one["detection"]["instances"]]
        for one in lines(files["final_annotation.jsonl"])
    }


def label_files(files: Files, folder: str, ending: str) -> dict[str, Path]:
    start = f"{folder}/"
    found = {path.removeprefix(start): file for path, file in files.items() if path.startswith(start)}
    return {name.removesuffix(ending) + ".jpg": file for name, file in found.items()}


def yolo(files: Files) -> Back:
    def read(line: str) -> Found:
        label, *shares = line.split()
        ring = np.reshape([float(share) for share in shares], (-1, 2)) * SIZE[::-1]
        return Found(NAMES[int(label)], [*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()], mask=filled(ring))

    back = {
        name: [read(line) for line in file.read_text().splitlines()]
        for name, file in label_files(files, "labels", ".txt").items()
    }
    for one in back["in/é 猫.jpg"]:
        one.mask = None  # with masks asked for a box is a polygon of four corners
    return back


def filled(ring: npt.NDArray[np.float64]) -> Mask:
    canvas = Pillow.new("1", (10 * SIZE[1], 10 * SIZE[0]))
    ImageDraw.Draw(canvas).polygon([(10 * x, 10 * y) for x, y in ring.tolist()], fill=1)
    return np.asarray(canvas)[5::10, 5::10]


def voc(files: Files) -> Back:
    """Edges are counted from zero."""

    def read(one: ElementTree.Element) -> Found:
        x1, y1, x2, y2 = (float(one.findtext(f"bndbox/{tag}") or "") for tag in ("xmin", "ymin", "xmax", "ymax"))
        return Found(one.findtext("name") or "", [x1, y1, x2, y2], float(one.findtext("score") or ""))

    found = label_files(files, "Annotations", ".xml")
    return {
        name: [read(one) for one in ElementTree.parse(file).getroot().iter("object")] for name, file in found.items()
    }


def kitti(files: Files) -> Back:
    names = json.loads(files["labelmap.json"].read_text("utf-8"))

    def read(line: str) -> Found:
        fields = line.split(" ")
        return Found(names[fields[0]], [float(field) for field in fields[4:8]], float(fields[15]))

    found = label_files(files, "label_2", ".txt")
    return {name: [read(line) for line in file.read_text("utf-8").splitlines()] for name, file in found.items()}


def label_studio(files: Files) -> Back:
    def read(one: Any) -> Found:
        value = one["value"]
        if one["type"] == "brushlabels":
            mask = unpack(value["rle"]).reshape(*SIZE, 4)[..., 3] > 0
            return Found(value["brushlabels"][0], score=one["score"], mask=mask)
        shares = corners(value["x"], value["y"], value["width"], value["height"])
        box = [share * side / 100 for share, side in zip(shares, SIZE[::-1] * 2, strict=True)]
        return Found(value["rectanglelabels"][0], box, one["score"])

    tasks = json.loads(files["tasks.json"].read_text())
    name = "/data/local-files/?d=data/"
    return {
        unquote(task["data"]["image"]).removeprefix(name): [read(one) for one in task["predictions"][0]["result"]]
        for task in tasks
    }


def cvat(files: Files) -> Back:
    def read(one: ElementTree.Element) -> Found:
        name, score = one.get("label") or "", float(one.findtext("attribute") or "")
        if one.tag == "mask":
            return Found(name, score=score, mask=cvat_mask(one, SIZE))
        return Found(name, [float(one.get(key) or "") for key in ("xtl", "ytl", "xbr", "ybr")], score)

    root = ElementTree.parse(files["annotations.xml"]).getroot()
    return {image.get("name") or "": [read(one) for one in image] for image in root.findall("image")}


def labelme(files: Files) -> Back:
    def read(one: Any) -> Found:
        (x1, y1), (x2, y2) = one["points"]
        if one["shape_type"] == "rectangle":
            return Found(one["label"], [x1, y1, x2, y2], one["score"])
        mask = np.zeros(SIZE, bool)
        mask[y1 : y2 + 1, x1 : x2 + 1] = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(one["mask"])))) > 0
        return Found(one["label"], score=one["score"], mask=mask)

    found = label_files(files, "labels", ".json")
    return {name: [read(one) for one in json.loads(file.read_text("utf-8"))["shapes"]] for name, file in found.items()}


def parquet(files: Files) -> Back:
    from pyarrow import parquet as arrow

    def read(one: Any) -> Found:
        mask = None if one["segmentation"] is None else coco_masks.decode(one["segmentation"]).astype(bool)
        return Found(one["phrase"], one["bbox"], one["score"], mask)

    (path,) = files.values()
    return {one["image"]: [read(thing) for thing in one["instances"]] for one in arrow.read_table(path).to_pylist()}


READERS: dict[str, Callable[[Files], Back]] = {
    one.__name__: one for one in (coco, coco_results, odvg, yolo, voc, kitti, label_studio, cvat, labelme, parquet, tao)
}
