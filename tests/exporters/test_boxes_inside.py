"""No format gets a box that reaches beyond its image, or one that lies outside."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel_exporters.labelme import Labelme

WIDTH, HEIGHT = 320, 240
CROSSING = [[-30, -20, 70, 70], [250, 200, 400.5, 300], [-5, -5, 900, 900], [319.5, 239.25, 320.75, 241]]
OUTSIDE = [[-40, 10, -1, 50], [320, 0, 380, 40], [10, -9, 60, 0], [50, 240, 70, 300], [700, 700, 800, 800]]
INSIDE = [[0, 0, 70, 70], [250, 200, 320, 240], [0, 0, 320, 240], [319.5, 239.25, 320, 240]]


def corners_of(exporter: str, files: Mapping[str, Path]) -> Iterator[list[float]]:
    """Yield the boxes of an export as its readers compute them."""
    if exporter in ("coco", "coco_results"):
        data = json.loads(next(iter(files.values())).read_text())
        for one in data if exporter == "coco_results" else data["annotations"]:
            x, y, w, h = one["bbox"]
            yield [x, y, x + w, y + h]
    elif exporter == "yolo":
        for line in files["labels/a.txt"].read_text().splitlines():
            x, y, w, h = map(float, line.split()[1:])
            yield [(x - w / 2) * WIDTH, (y - h / 2) * HEIGHT, (x + w / 2) * WIDTH, (y + h / 2) * HEIGHT]
    elif exporter == "voc":
        for one in ElementTree.parse(files["Annotations/a.xml"]).getroot().iter("bndbox"):
            yield [float(one.findtext(tag) or "") for tag in ("xmin", "ymin", "xmax", "ymax")]
    elif exporter == "kitti":
        yield from ([*map(float, line.split()[4:8])] for line in files["label_2/a.txt"].read_text().splitlines())
    elif exporter == "label_studio":
        for one in json.loads(files["tasks.json"].read_text())[0]["predictions"][0]["result"]:
            value = one["value"]
            x, y = value["x"] * WIDTH / 100, value["y"] * HEIGHT / 100
            yield [x, y, x + value["width"] * WIDTH / 100, y + value["height"] * HEIGHT / 100]
    elif exporter == "cvat":
        for box in ElementTree.parse(files["annotations.xml"]).getroot().iter("box"):
            yield [float(box.get(key) or "") for key in ("xtl", "ytl", "xbr", "ybr")]
    elif exporter == "labelme":
        for shape in json.loads(files["labels/a.json"].read_text())["shapes"]:
            yield [*shape["points"][0], *shape["points"][1]]
    elif exporter in ("odvg", "tao"):
        name = "annotations.jsonl" if exporter == "odvg" else "final_annotation.jsonl"
        for item in json.loads(files[name].read_text())["detection"]["instances"]:
            yield item["bbox"]
    else:
        from pyarrow import parquet

        for item in parquet.read_table(files["labels.parquet"]).to_pylist()[0]["instances"]:
            yield item["bbox"]


def test_boxes_are_cut_at_the_edges_and_those_outside_left_out(exporter: Any, row: Any, export: Any) -> None:
    boxes = [box for pair in zip(CROSSING, OUTSIDE[:4], strict=True) for box in pair] + OUTSIDE[4:]
    files = export(exporter, [row("a.jpg", boxes, size=(HEIGHT, WIDTH), scores=[0.5] * len(boxes))])
    found = list(corners_of(exporter.name, files))
    assert len(found) == len(CROSSING)
    slack = 1.0 if exporter.name == "voc" else 0.01
    for box, wanted in zip(found, INSIDE, strict=True):
        assert box == pytest.approx(wanted, abs=slack)
        assert box[0] >= -1e-9 and box[1] >= -1e-9 and box[2] <= WIDTH + 1e-9 and box[3] <= HEIGHT + 1e-9
        assert box[0] < box[2] and box[1] < box[3]


@pytest.mark.parametrize("side", [1, 3, 7, 333, 4096])
def test_yolo_s_rounding_leads_to_no_edge_outside(row: Any, export: Any, side: int) -> None:
    from autolabel_exporters.yolo import Yolo

    draw = np.random.default_rng(side)
    low = draw.uniform(0, side, (200, 2))
    boxes = np.concatenate([low, low + draw.exponential(side / 3, (200, 2))], axis=1)
    files = export(Yolo, [row("a.jpg", boxes.tolist(), size=(side, side), scores=[0.5] * 200)])
    shares = np.array([line.split()[1:] for line in files["labels/a.txt"].read_text().splitlines()], float)
    assert len(shares) > 150
    assert (shares[:, :2] - shares[:, 2:] / 2 >= -1e-12).all() and (
        shares[:, :2] + shares[:, 2:] / 2 <= 1 + 1e-12
    ).all()
    assert (shares[:, 2:] > 0).all()


def test_masks_and_fields_stay_with_their_boxes(row: Any, export: Any, shapes: Any) -> None:
    rows = [row("a.jpg", [[-9, -9, -1, -1], [10, 30, 99, 50]], masks=[shapes["plain"], shapes["hole"]])]
    [shape] = json.loads(export(Labelme, rows)["labels/a.json"].read_text())["shapes"]
    assert shape["points"] == [[10, 30], [39, 49]] and shape["score"] == pytest.approx(0.8)
