"""Shapes of other tools that cannot be read are named, and never make the run's own boxes go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel.data.corrections.cvat import read_cvat
from autolabel.data.corrections.label_studio import read_label_studio
from autolabel.data.corrections.labelme import labelme_image
from autolabel.data.corrections.shapes import DrawnImage
from autolabel.data.corrections.shapes import objects as drawn_objects
from autolabel.errors import DataError
from tests.review.test_other_tools import objects, png, run, take

__all__ = ["run"]

ABOUT = {"imagePath": "d.png", "imageHeight": 64, "imageWidth": 64}
LINE = [[1, 1], [5, 5], [9, 1]]


def cvat(shape: str, size: str = 'width="64" height="64"') -> str:
    return f'<annotations><image name="d.png" {size}>{shape}</image></annotations>'


def labelme(**shape: Any) -> str:
    return json.dumps({**ABOUT, "shapes": [shape]})


def studio(*regions: Any) -> str:
    return json.dumps([{"data": {"image": "d.png"}, "annotations": [{"result": list(regions)}]}])


UNREAD = {
    "cvat polyline": (cvat('<polyline label="red" points="1,1;5,5"/>'), "<polyline> cannot be read"),
    "cvat points": (cvat('<points label="red" points="1,1;5,5"/>'), "<points> cannot be read"),
    "cvat cuboid": (cvat('<cuboid label="red"/>'), "<cuboid> cannot be read"),
    "cvat skeleton": (cvat('<skeleton label="red"><points/></skeleton>'), "<skeleton> cannot be read"),
    "cvat box without corners": (cvat('<box label="red" xtl="1"/>'), "finite numbers"),
    "cvat sum of runs wraps": (
        cvat(f'<mask label="red" left="0" top="0" width="2" height="2" rle="{2**63 - 1},{2**63 - 1},6"/>'),
        "do not fit",
    ),
    "cvat endless runs": (
        cvat(f'<mask label="red" left="0" top="0" width="2" height="2" rle="{"9" * 5000}"/>'),
        "whole numbers",
    ),
    "cvat run over 64 bits": (
        cvat(f'<mask label="red" left="0" top="0" width="2" height="2" rle="{2**64},4"/>'),
        "do not fit",
    ),
    "cvat mask at inf": (cvat('<mask label="red" left="inf" top="0" width="2" height="2" rle="4"/>'), "'inf'"),
    "cvat size inf": (cvat("", 'width="inf" height="inf"'), "'inf'"),
    "cvat size nan": (cvat("", 'width="nan" height="64"'), "'nan'"),
    "labelme linestrip": (labelme(label="red", shape_type="linestrip", points=LINE), "'linestrip' cannot be read"),
    "labelme point": (labelme(label="red", shape_type="point", points=[[1, 1]]), "'point' cannot be read"),
    "labelme number": (labelme(label=7, shape_type="polygon", points=LINE), "wanted a text in quotes"),
    "labelme no shape": (json.dumps({**ABOUT, "shapes": ["red"]}), "is not a shape"),
    "labelme rectangle of one": (labelme(label="red", shape_type="rectangle", points=[[1, 1]]), "needs two points"),
    "labelme circle of three": (labelme(label="red", shape_type="circle", points=LINE), "needs two points"),
    "labelme infinite": (labelme(label="red", shape_type="polygon", points=[[float("inf"), 0]]), "finite"),
    "labelme infinite mask": (
        labelme(label="red", shape_type="mask", points=[[float("inf"), 0]], mask=png(2, 2)),
        "finite",
    ),
    "labelme large mask": (
        labelme(label="red", shape_type="mask", points=[[0, 0]], mask=png(15000, 15000)),
        "cannot be read",
    ),
    "labelme points of texts": (labelme(label="red", shape_type="polygon", points=[["a", "b"]]), "could not convert"),
    "studio keypoint": (
        studio({"id": "a", "value": {"x": 1, "y": 2, "width": 1, "keypointlabels": ["red"]}}),
        "'keypointlabels' cannot be read",
    ),
    "studio text for x": (
        studio({"id": "a", "value": {"x": "1", "y": 2, "width": 1, "height": 1, "rectanglelabels": ["red"]}}),
        "position cannot be read",
    ),
    "studio without label": (
        studio({"id": "a", "value": {"x": 1, "y": 2, "width": 1, "height": 1, "rectanglelabels": []}}),
        "label is not a text",
    ),
    "studio no region": (studio("red"), "not a region"),
    "studio points": (studio({"id": "a", "value": {"points": [1, 2], "polygonlabels": ["red"]}}), "region a"),
    "studio turned ellipse": (
        studio({"id": "a", "value": {"x": 1, "y": 2, "radiusX": 1, "radiusY": 1, "rotation": 9, "labels": ["red"]}}),
        "rotated ellipse",
    ),
}


@pytest.mark.parametrize(("text", "words"), UNREAD.values(), ids=UNREAD)
def test_a_shape_that_is_not_read_is_named_and_removes_nothing(
    run: Path, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "corrected"
    file.write_text(text)
    before = objects(run, "d.png")
    with pytest.raises(DataError, match=r"d\.png: ") as caught:
        take(run, file)
    assert words in str(caught.value) and not (run / "review.jsonl").exists()
    done = take(run, file, skip_unknown=True)
    assert done.counts.get("removed", 0) == 0 and done.left_out == 1
    assert objects(run, "d.png") == before


def test_what_is_about_the_whole_image_is_no_shape() -> None:
    [image] = read_cvat(cvat('<tag label="night"><attribute name="x">1</attribute></tag>').encode(), file="f").images
    assert image.shapes == [] and not image.unread
    box = {"id": "a", "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["red"]}}
    text = {"id": "a", "value": {"x": 1, "y": 2, "width": 3, "height": 4, "text": ["a note"]}}
    choice = {"id": "b", "type": "choices", "value": {"choices": ["night"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["beside"]}
    [image] = read_label_studio(json.loads(studio(box, text, choice, relation))).images
    assert len(image.shapes) == 1 and not image.unread


@pytest.mark.parametrize(
    "image",
    [
        read_cvat(cvat('<ellipse label="red" cx="30" cy="20" rx="10" ry="5"/>').encode(), file="f").images[0],
        read_cvat(
            cvat('<ellipse label="red" cx="30" cy="20" rx="5" ry="10" rotation="90"/>').encode(), file="f"
        ).images[0],
        read_label_studio(
            json.loads(studio({"value": {"x": 30, "y": 40, "radiusX": 10, "radiusY": 10, "ellipselabels": ["red"]}}))
        ).images[0],
    ],
)
def test_an_ellipse_is_its_outline(image: DrawnImage) -> None:
    [found], faults = drawn_objects(image, (50, 100))
    assert not faults and found.box == pytest.approx((20, 15, 40, 25), abs=0.1)
    assert found.mask is not None and found.mask.area() == pytest.approx(157, abs=8)


def test_a_fault_of_one_shape_leaves_the_others() -> None:
    shapes = [{"label": "red", "points": [[1]]}, {"label": "red", "points": LINE}]
    image = labelme_image({**ABOUT, "shapes": shapes}, folder="")
    assert len(image.shapes) == 1 and len(image.unread) == 1


def test_of_many_annotations_the_last_is_taken() -> None:
    said = [{"updated_at": "2026-01-01", "result": [], "id": number} for number in range(20_000)]
    box = {"value": {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["red"]}}
    said[-1] = {**said[-1], "result": [box]}
    [image] = read_label_studio([{"data": {"image": "d.png"}, "annotations": said}]).images
    assert len(image.shapes) == 1


def test_an_annotation_of_coco_that_is_not_read_removes_nothing(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "coco.json"
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 20, 20], "area": 400, "iscrowd": 0}]
    boxes.append({**boxes[0], "id": 2, "category_id": 99})
    image = {"id": 1, "file_name": "d.png", "height": 64, "width": 64}
    file.write_text(json.dumps({"images": [image], "categories": [{"id": 1, "name": "red"}], "annotations": boxes}))
    before = objects(run, "d.png")
    with pytest.raises(DataError, match="/annotations/1"):
        take(run, file)
    done = take(run, file, skip_unknown=True)
    assert done.counts.get("removed", 0) == 0 and objects(run, "d.png") == before


def test_tasks_that_are_none_or_name_no_image_are_problems() -> None:
    box = {"value": {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["red"]}}
    tasks = [{"data": {}, "annotations": [{"result": [box]}]}, "task", {"data": {"image": "a.png"}, "annotations": []}]
    found = read_label_studio(tasks, file="f.json")
    assert [(one.path, one.message) for one in found.problems] == [
        ("/0", "is annotated, but names no image"),
        ("/1", "is not a task"),
    ]
    assert found.notes == ["1 task(s) have no annotation"]
