"""What annotation tools are given of an object: masks, polygons, boxes, one beside the other."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from autolabel.types import Provenance
from autolabel.types.provenance import WeightSource
from autolabel_exporters.cvat import Cvat
from autolabel_exporters.label_studio import LabelStudio
from autolabel_exporters.labelme import Labelme

BOXES = [[10, 5, 30, 20], [10, 30, 40, 50], [40, 5, 70, 15], [78, 58, 79, 59], [1, 2, 11, 22]]
TOOLS = [Cvat, LabelStudio, Labelme]
KINDS = {"rectanglelabels": "box", "brushlabels": "mask", "polygonlabels": "polygon", "rectangle": "box"}
Drawn = list[tuple[str, Any, Any]]
"""Kind, what says which object it belongs to, corners in pixels where it is a polygon."""


def drawn(tool: Any, files: Any) -> Drawn:
    if tool is Cvat:
        shapes = ElementTree.parse(files["annotations.xml"]).getroot().findall("image/*")
        points = [
            [[*map(float, pair.split(","))] for pair in (s.get("points") or "").split(";") if pair] for s in shapes
        ]
        return [(s.tag, s.get("group_id"), p) for s, p in zip(shapes, points, strict=True)]
    if tool is LabelStudio:
        results = json.loads(files["tasks.json"].read_text())[0]["predictions"][0]["result"]
        return [
            (KINDS[r["type"]], r["id"].split("-")[0], [(x * 0.8, y * 0.6) for x, y in r["value"].get("points", ())])
            for r in results
        ]
    shapes = json.loads(files["labels/a.json"].read_text())["shapes"]
    return [(KINDS.get(s["shape_type"], s["shape_type"]), s["group_id"], s["points"]) for s in shapes]


@pytest.fixture
def masked(row: Any, shapes: Any) -> list[Any]:
    return [row("a.jpg", BOXES, masks=[*shapes.values(), None], scores=[0.9, 0.8, 0.7, 0.6, 0.5])]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("params", "kinds"),
    [
        ({}, ["mask"] * 4 + ["box"]),
        ({"boxes": True}, ["box", "mask"] * 4 + ["box"]),
        ({"segmentation": "none"}, ["box"] * 5),
        ({"segmentation": "polygons"}, ["polygon"] * 5 + ["box"]),
        ({"segmentation": "polygons", "boxes": True}, ["box", "polygon"] * 2 + ["box", "polygon", "polygon", "box"]),
    ],
)
def test_shapes_are_those_asked_for(tool: Any, params: Any, kinds: list[str], masked: Any, export: Any) -> None:
    found = [kind for kind, _, _ in drawn(tool, export(tool, masked, **params))]
    assert found[: len(kinds)] == kinds
    assert found[len(kinds) :] == (["polygon", "box"] if len(params) == 2 else [])


@pytest.mark.parametrize("tool", TOOLS)
def test_polygons_fill_to_the_masks_and_shapes_of_an_object_are_a_group(
    tool: Any, masked: Any, shapes: Any, export: Any
) -> None:
    found = drawn(tool, export(tool, masked, segmentation="polygons", boxes=True))
    groups: dict[Any, list[Any]] = {}
    for kind, group, points in found[:-1]:
        groups.setdefault(group, []).append((kind, points))
    assert len(groups) == 4 and None not in groups
    for members, mask in zip(groups.values(), shapes.values(), strict=True):
        assert [kind for kind, _ in members] == ["box"] + ["polygon"] * (len(members) - 1)
        assert np.array_equal(filled([points for kind, points in members if kind == "polygon"]), mask)


def filled(rings: list[Any]) -> npt.NDArray[np.bool_]:
    canvas = Pillow.new("1", (800, 600))
    for ring in rings:
        ImageDraw.Draw(canvas).polygon([(10 * x, 10 * y) for x, y in ring], fill=1)
    return np.asarray(canvas)[5::10, 5::10]


def test_a_mask_without_pixels_is_drawn_as_its_box(row: Any, export: Any) -> None:
    rows = [row("a.jpg", [BOXES[0]], masks=[np.zeros((60, 80), bool)])]
    for tool in TOOLS:
        for segmentation in ("masks", "polygons"):
            assert [kind for kind, _, _ in drawn(tool, export(tool, rows, segmentation=segmentation))] == ["box"]


def test_labelme_s_masks_are_still_exact(masked: Any, shapes: Any, export: Any) -> None:
    shape = json.loads(export(Labelme, masked, boxes=True)["labels/a.json"].read_text())["shapes"][3]
    cut = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(shape["mask"])))) > 0
    assert np.array_equal(cut, shapes["hole"][30:50, 10:40])


def test_label_studio_says_which_model_it_was(row: Any, tmp_path: Any) -> None:
    exporter = LabelStudio(LabelStudio.Params())
    exporter.provenance = Provenance(
        plan="0123456789abcdef",
        labelers=("grounding_dino", "mal"),
        weights=(WeightSource(labeler="grounding_dino", file="m.pth", sha256="0" * 64, licence="apache-2.0"),),
    )
    exporter.export([row("a.jpg", BOXES[:1])], ["cat", "dog"], tmp_path)
    [task] = json.loads((tmp_path / "tasks.json").read_text())
    assert task["predictions"][0]["model_version"] == "grounding_dino+mal · plan 0123456789ab · apache-2.0"
