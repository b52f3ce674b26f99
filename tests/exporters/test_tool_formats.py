"""Files for annotation tools, read back from XML and JSON by the tools' own definitions."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ElementTree
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow

from autolabel_exporters.cvat import Cvat
from autolabel_exporters.label_studio import LabelStudio
from autolabel_exporters.labelme import Labelme

BOXES = [[1, 2, 11, 22], [30.25, 5, 50, 25.5]]


def unpack(data: list[int]) -> npt.NDArray[np.uint8]:
    """Decode thi.ng/rle-pack, bit by bit, as its documentation defines it."""
    bits, place = "".join(f"{byte:08b}" for byte in data), 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    length, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < length:
        run = take(1)
        count = take(sizes[take(2)]) + 1
        out += [take(word)] * count if run else [take(word) for _ in range(count)]
    return np.array(out, np.uint8)


def test_label_studio_boxes_are_percent_with_scores(row: Any, export: Any) -> None:
    rows = [row("in/a b#é.jpg", BOXES, labels=[0, 1]), row("none.jpg"), row("no.jpg", failed=True)]
    files = export(LabelStudio, rows, model_version="swin-b")
    first, second = json.loads(files["tasks.json"].read_text())
    assert unquote(first["data"]["image"]) == "/data/local-files/?d=data/in/a b#é.jpg"
    (prediction,) = first["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("swin-b", 0.8)
    region = prediction["result"][1]
    assert region["value"] == {
        "x": 37.8125,
        "y": 8.333333,
        "width": 24.6875,
        "height": 34.166667,
        "rotation": 0,
        "rectanglelabels": ["dog"],
    }
    assert (region["score"], region["type"], region["original_width"]) == (0.8, "rectanglelabels", 80)
    assert second["predictions"] == [{"model_version": "swin-b", "result": []}]


def test_label_studio_results_name_the_controls_of_its_interface(row: Any, export: Any, shapes: Any) -> None:
    masks = [shapes["hole"], None]
    files = export(LabelStudio, [row("a.jpg", BOXES, masks=masks)], classes=["cat", '<"dog">'])
    view = ElementTree.parse(files["label_config.xml"]).getroot()
    controls = {control.get("name"): control for control in view if control.tag.endswith("Labels")}
    results = json.loads(files["tasks.json"].read_text())[0]["predictions"][0]["result"]
    assert {result["from_name"] for result in results} == set(controls)
    assert {result["to_name"] for result in results} == {view.find("Image").get("name")}  # type: ignore[union-attr]
    for control in controls.values():
        assert [entry.get("value") for entry in control] == ["cat", '<"dog">']


def test_label_studio_brush_strokes_unpack_to_the_mask(row: Any, export: Any, shapes: Any) -> None:
    large = np.zeros((300, 400), bool)
    large[100:290, 3:] = True
    rows = [
        row("a.jpg", [BOXES[0]] * 4, masks=list(shapes.values())),
        row("b.jpg", [BOXES[0]], masks=[large], size=(300, 400)),
    ]
    tasks = json.loads(export(LabelStudio, rows)["tasks.json"].read_text())
    results = [result for task in tasks for result in task["predictions"][0]["result"]]
    for result, mask in zip(results, [*shapes.values(), large], strict=True):
        pixels = unpack(result["value"]["rle"]).reshape(*mask.shape, 4)
        assert np.array_equal(pixels, np.repeat(mask[:, :, None], 4, axis=2) * 255)


def cvat_mask(found: ElementTree.Element, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    left, top, width, height = (int(found.get(key) or "") for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in (found.get("rle") or "").split(",")]
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = flat.reshape(height, width)
    return mask


def test_cvat_boxes_and_masks(row: Any, export: Any, shapes: Any) -> None:
    rows = [
        row("in/é.jpg", BOXES, labels=[1, 0]),
        row("m.jpg", [BOXES[0]] * 5, masks=[*shapes.values(), None]),
        row("none.jpg"),
    ]
    root = ElementTree.parse(export(Cvat, rows)["annotations.xml"]).getroot()
    images = root.findall("image")
    assert [(i.get("id"), i.get("name"), i.get("width"), i.get("height")) for i in images] == [
        ("0", "in/é.jpg", "80", "60"),
        ("1", "m.jpg", "80", "60"),
        ("2", "none.jpg", "80", "60"),
    ]
    box = images[0].findall("box")[1]
    assert [float(box.get(key) or "") for key in ("xtl", "ytl", "xbr", "ybr")] == BOXES[1]
    assert (box.get("label"), box.findtext("attribute")) == ("cat", "0.8")
    assert [label.findtext("name") for label in root.iter("label")] == ["cat", "dog"]
    for found, mask in zip(images[1].findall("mask"), shapes.values(), strict=True):
        assert np.array_equal(cvat_mask(found, (60, 80)), mask)
    assert len(images[1].findall("box")) == 1 and len(images[2]) == 0


def test_labelme_boxes_and_masks(row: Any, export: Any, shapes: Any) -> None:
    files = export(
        Labelme, [row("in/é.jpg", [*BOXES, *[BOXES[0]] * 3], masks=[None, *shapes.values()]), row("none.png")]
    )
    data = json.loads(files["labels/in/é.json"].read_text())
    assert (data["imagePath"], data["imageHeight"], data["imageWidth"], data["imageData"]) == ("é.jpg", 60, 80, None)
    assert data["shapes"][0]["points"] == [[1, 2], [11, 22]] and data["shapes"][0]["shape_type"] == "rectangle"
    assert [shape["score"] for shape in data["shapes"]] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    for shape, mask in zip(data["shapes"][1:], shapes.values(), strict=True):
        (x1, y1), (x2, y2) = shape["points"]
        cut = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(shape["mask"])))) > 0
        back = np.zeros((60, 80), bool)
        back[y1 : y2 + 1, x1 : x2 + 1] = cut
        assert np.array_equal(back, mask)
    assert json.loads(files["labels/none.json"].read_text())["shapes"] == []
