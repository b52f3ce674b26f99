"""YOLO, Pascal VOC and KITTI files, read back by the rules of their own readers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw
from ruamel.yaml import YAML

from autolabel.errors import DataError
from autolabel.types import Labels
from autolabel_exporters.kitti import Kitti, single_words
from autolabel_exporters.voc import Voc
from autolabel_exporters.yolo import Yolo

BOXES = [[1, 2, 11, 22], [30.25, 5, 50, 25.5], [79, 59, 80, 60]]


def numbers(path: Any) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in path.read_text().splitlines()]


def read_yaml(path: Any) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text("utf-8"))


def test_yolo_boxes_come_back_from_shares(row: Any, export: Any) -> None:
    files = export(Yolo, [row("in/é.jpg", BOXES, labels=[0, 1, 0]), row("none.jpg"), row("no.jpg", failed=True)])
    assert [line[0] for line in numbers(files["labels/in__é.txt"])] == [0, 1, 0]
    for (_, x, y, w, h), box in zip(numbers(files["labels/in__é.txt"]), BOXES, strict=True):
        back = [(x - w / 2) * 80, (y - h / 2) * 60, (x + w / 2) * 80, (y + h / 2) * 60]
        assert back == pytest.approx(box, abs=2e-4)
    assert files["labels/none.txt"].read_bytes() == b""
    assert "labels/no.txt" not in files


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", (80, 60)).save(root / name)
    return root


def ultralytics_label(image: Path) -> Path:
    """The label file that ultralytics looks for: the last folder called images becomes labels."""
    return Path("/labels/".join(str(image).rsplit("/images/", 1))).with_suffix(".txt")


@pytest.mark.parametrize("way", ["link", "copy", "upright"])
def test_yolo_places_images_where_trainers_look(row: Any, export: Any, tmp_path_factory: Any, way: str) -> None:
    names = ["in/a.jpg", "train/images/a.jpg", "images/labels/a.png", "labels/images/x/images/é.jpg", "a.jpg", "a.png"]
    root = pictures(tmp_path_factory.mktemp("photos"), *names)
    rows = [placed(row(name, BOXES[: 1 + number % 3]), root) for number, name in enumerate(sorted(names))]
    files = export(Yolo, rows, images=way)
    found = {name: path for name, path in files.items() if name.startswith("images/")}
    assert len(found) == len(names) and all("/" not in name.removeprefix("images/") for name in found)
    assert all(path.is_symlink() == (way == "link") for path in found.values())
    lines = [len(ultralytics_label(path).read_text().splitlines()) for path in found.values()]
    assert sorted(lines) == sorted(1 + number % 3 for number in range(len(names)))
    assert "images/train__images__a.jpg" in found


def placed(labels: Labels, root: Path) -> Labels:
    return replace(labels, image=replace(labels.image, path=str(root / labels.image.id)))


def test_yolo_takes_images_from_the_folder_that_is_named(row: Any, export: Any, tmp_path_factory: Any) -> None:
    root = pictures(tmp_path_factory.mktemp("photos"), "in/a.jpg")
    linked = export(Yolo, [row("in/a.jpg", BOXES)], images=str(root))["images/in__a.jpg"]
    assert linked.is_symlink() and linked.resolve() == (root / "in/a.jpg").resolve()
    assert sorted(export(Yolo, [row("in/a.jpg", BOXES)], images=None)) == ["data.yaml", "labels/in/a.txt"]
    with pytest.raises(DataError, match=r"b\.jpg: no such image"):
        export(Yolo, [row("b.jpg")], images=str(root))


def test_an_image_that_is_gone_is_left_out_and_told(
    row: Any, export: Any, tmp_path_factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    root = pictures(tmp_path_factory.mktemp("photos"), "a.jpg")
    files = export(Yolo, [placed(row(name, BOXES), root) for name in ("a.jpg", "gone.jpg")])
    assert sorted(files) == ["data.yaml", "images/a.jpg", "labels/a.txt", "labels/gone.txt"]
    assert "1 image(s) no longer exist and were left out: gone.jpg" in caplog.text


def test_yolo_joins_the_parts_of_a_split(row: Any, tmp_path: Path, tmp_path_factory: Any) -> None:
    root = pictures(tmp_path_factory.mktemp("photos"), "a.jpg", "b.jpg", "c.jpg")
    parts = {
        part: [placed(row(name, BOXES), root)]
        for part, name in (("train", "a.jpg"), ("val", "b.jpg"), ("test", "c.jpg"))
    }
    yolo = Yolo(Yolo.Params())
    for named, expected in (
        (parts, {"train": "train/images", "val": "valid/images", "test": "test/images"}),
        ({**parts, "test": []}, {"train": "train/images", "val": "valid/images"}),
        ({**parts, "val": []}, {"train": "train/images", "val": "test/images", "test": "test/images"}),
    ):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        written = yolo.export_parts(named, ["cat", "dog"], out)
        assert all(path.exists() for path in written)
        data = read_yaml(out / "data.yaml")
        assert {name: data[name] for name in ("train", "val", "test") if name in data} == expected
        for part, folder in expected.items():
            images = list((out / folder).iterdir())
            assert len(images) == 1, part
            assert len(ultralytics_label(images[0]).read_text().splitlines()) == 3
        assert [path.name for path in out.rglob("data.yaml")] == ["data.yaml"]


def test_yolo_names_survive_yaml(row: Any, export: Any) -> None:
    names = ["cat", "no", "a: b # c", '"q" \\ \'', "é 猫 😀", "line\nbreak\u2028\x85\x07", "", "- x"]
    data = read_yaml(export(Yolo, [], classes=names)["data.yaml"])
    assert list(data["names"].values()) == names
    assert data["nc"] == len(names) and data["train"] == data["val"] == "images"
    assert read_yaml(export(Yolo, [], classes=[])["data.yaml"])["names"] == {}


def test_yolo_polygons_fill_to_the_mask(row: Any, export: Any, shapes: Any) -> None:
    masks = [*shapes.values(), None]
    files = export(Yolo, [row("a.jpg", [BOXES[0]] * 5, masks=masks)], segmentation=True)
    lines = numbers(files["labels/a.txt"])
    for (_, *shares), mask in zip(lines, masks, strict=True):
        ring = np.reshape(shares, (-1, 2)) * (80, 60)
        if mask is None:
            assert ring.ravel().tolist() == pytest.approx([1, 2, 11, 2, 11, 22, 1, 22], abs=1e-3)
        else:
            canvas = Pillow.new("1", (800, 600))
            ImageDraw.Draw(canvas).polygon([(10 * x, 10 * y) for x, y in ring.tolist()], fill=1)
            assert np.array_equal(np.asarray(canvas)[5::10, 5::10], mask)


def voc_boxes(root: ElementTree.Element) -> list[list[int]]:
    tags = ("xmin", "ymin", "xmax", "ymax")
    return [[int(found.findtext(f"bndbox/{tag}") or "") for tag in tags] for found in root.iter("object")]


def test_voc_counts_pixels_from_one_with_both_ends_inside(row: Any, export: Any) -> None:
    files = export(Voc, [row("in/é.jpg", [*BOXES, [0, 0, 0.2, 60]], labels=[0, 1, 0, 1]), row("b.jpg")], origin=1)
    root = ElementTree.parse(files["Annotations/in/é.xml"]).getroot()
    assert voc_boxes(root) == [[2, 3, 11, 22], [31, 6, 50, 26], [80, 60, 80, 60], [1, 1, 1, 60]]
    assert [found.findtext("name") for found in root.iter("object")] == ["cat", "dog", "cat", "dog"]
    assert [found.findtext("score") for found in root.iter("object")] == ["0.9", "0.8", "0.7", "0.6"]
    assert (root.findtext("filename"), root.findtext("size/width"), root.findtext("size/height")) == (
        "in/é.jpg",
        "80",
        "60",
    )
    assert list(ElementTree.parse(files["Annotations/b.xml"]).getroot().iter("object")) == []
    assert files["ImageSets/Main/default.txt"].read_text() == "in/é\nb\n"


def test_voc_edges_from_zero(row: Any, export: Any) -> None:
    files = export(Voc, [row("a.jpg", [*BOXES, [0, 0, 0.2, 60]])])
    root = ElementTree.parse(files["Annotations/a.xml"]).getroot()
    assert voc_boxes(root) == [[1, 2, 11, 22], [30, 5, 50, 26], [79, 59, 80, 60], [0, 0, 1, 60]]


def test_kitti_has_fifteen_fields_and_words_for_names(row: Any, export: Any) -> None:
    files = export(
        Kitti,
        [row("in/é.jpg", BOXES, phrases=["red car", "dog"], labels=[0, 1, 0]), row("none.jpg")],
        ["red car", "dog"],
    )
    lines = [line.split(" ") for line in files["label_2/in/é.txt"].read_text().splitlines()]
    assert [len(line) for line in lines] == [15, 15, 15]
    assert [line[0] for line in lines] == ["red_car", "dog", "red_car"]
    assert [[float(v) for v in line[4:8]] for line in lines] == BOXES
    scored = export(Kitti, [row("a.jpg", BOXES)], scores=True)["label_2/a.txt"].read_text().splitlines()
    assert [float(line.split(" ")[15]) for line in scored] == pytest.approx([0.9, 0.8, 0.7])
    assert files["label_2/none.txt"].read_bytes() == b""
    assert json.loads(files["labelmap.json"].read_text()) == {"red_car": "red car", "dog": "dog"}


def test_kitti_words_stay_distinct() -> None:
    names = ["a b", "a_b", "a\tb", "a  b", "", " ", "_"]
    words = single_words(names)
    assert len(set(words.values())) == len(names)
    assert words["a_b"] == "a_b" and words["_"] == "_"
    assert all(word and not any(c.isspace() for c in word) for word in words.values())
