"""Images beside their labels: links, copies, and upright ones for readers that ignore EXIF."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel.types import Labels
from autolabel_exporters.coco import Coco
from autolabel_exporters.kitti import Kitti
from autolabel_exporters.label_studio import LabelStudio
from autolabel_exporters.labelme import Labelme
from autolabel_exporters.voc import Voc

NAMES = ["a.jpg", "a.png", "in/é 猫.jpg", "images/turned.jpg", "turned.png", "turned.tif", "turned.webp"]
SIZE = (60, 80)
BOX = [[0, 0, 20, 10]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Photos of 80x60 with a red corner at the top left, some stored turned by a quarter."""
    upright = np.zeros((*SIZE, 3), np.uint8)
    upright[:10, :20, 0] = 255
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Pillow.fromarray(np.rot90(upright) if "turned" in name else upright)
        exif = Pillow.Exif()
        if "turned" in name:
            exif[0x0112] = 6
        picture.save(path, exif=exif)
    return tmp_path / "photos"


def rows(row: Any, root: Path) -> list[Labels]:
    made = [row(name, BOX) for name in sorted(NAMES)]
    return [replace(one, image=replace(one.image, path=str(root / one.image.id))) for one in made]


def placed(files: dict[str, Path]) -> list[Path]:
    return [path for path in files.values() if path.suffix in (".jpg", ".png", ".tif", ".webp")]


@pytest.mark.parametrize("way", ["link", "copy", "upright"])
def test_every_format_places_every_image(exporter: Any, row: Any, export: Any, root: Path, way: str) -> None:
    if exporter.at_top:
        pytest.skip("TAO leaves images where they are")
    found = placed(export(exporter, rows(row, root), images=way))
    assert len(found) == len(NAMES)
    assert all(path.is_symlink() == (way == "link") for path in found)
    if way == "copy":
        assert sorted(path.read_bytes() for path in found) == sorted((root / name).read_bytes() for name in NAMES)
    for path in found:
        with Pillow.open(path) as picture:
            assert way != "upright" or picture.getexif().get(0x0112, 1) == 1
            stored = "turned" in path.name and way != "upright" and path.suffix != ".tif"  # Pillow turns TIFFs itself
            assert picture.size == ((60, 80) if stored else (80, 60))
            if way == "upright":
                corner = np.asarray(picture.convert("RGB")).astype(int)
                assert corner[:8, :16, 0].min() > 200 and corner[20:, 30:, 0].max() < 60, path.name
            expected = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP"}[path.suffix[1:]]
            assert picture.format == expected


def test_without_asking_no_format_but_yolo_places_any(exporter: Any, row: Any, export: Any, root: Path) -> None:
    found = placed(export(exporter, rows(row, root)))
    assert len(found) == (len(NAMES) if exporter.name == "yolo" else 0)


def test_label_files_name_the_images_beside_them(row: Any, export: Any, root: Path) -> None:
    files = export(Voc, rows(row, root), images="copy")
    listed = [f"JPEGImages/{ElementTree.parse(files[name]).findtext('filename')}" for name in files if ".xml" in name]
    assert len(listed) == len(NAMES) and set(listed) <= set(files)
    for stem in files["ImageSets/Main/default.txt"].read_text().splitlines():
        assert f"Annotations/{stem}.xml" in files
        assert any(name.startswith(f"JPEGImages/{stem}.") for name in files)
    files = export(Labelme, rows(row, root), images="link")
    for name in files:
        if name.endswith(".json"):
            path = json.loads(files[name].read_text())["imagePath"]
            assert str(Path(name).with_name(path)) in files
    files = export(Kitti, rows(row, root), images="link")
    stems = [{Path(name).with_suffix("").relative_to(top) for name in files if name.startswith(top)} for top in TOPS]
    assert stems[0] == stems[1] and len(stems[0]) == len(NAMES)


TOPS = ("label_2", "image_2")


def tasks(files: dict[str, Path]) -> list[str]:
    return [task["data"]["image"] for task in json.loads(files["tasks.json"].read_text())]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({"a.jpg": "/d/photos/a.jpg", "in/b.jpg": "/d/photos/in/b.jpg"}, ["photos/a.jpg", "photos/in/b.jpg"]),
        ({"s1/a.jpg": "/d/s1/a.jpg", "s2/a.jpg": "/d/s2/a.jpg"}, ["d/s1/a.jpg", "d/s2/a.jpg"]),
        ({"x/a.jpg": "/d/s1/images/a.jpg", "y/a.jpg": "/d/s2/images/a.jpg"}, ["s1/images/a.jpg", "s2/images/a.jpg"]),
        ({"a.jpg": "", "b.jpg": ""}, ["a.jpg", "b.jpg"]),
        ({"a b#é.jpg": "/photos/a b#é.jpg"}, ["photos/a%20b%23%C3%A9.jpg"]),
    ],
)
def test_label_studio_serves_from_above_the_folder_of_images(
    row: Any, export: Any, places: dict[str, str], expected: list[str]
) -> None:
    made = [row(name) for name in places]
    labels = [replace(one, image=replace(one.image, path=places[one.image.id])) for one in made]
    assert tasks(export(LabelStudio, labels)) == [f"/data/local-files/?d={name}" for name in expected]
    prefixed = tasks(export(LabelStudio, labels, image_prefix="https://x.example/"))
    assert all(address.startswith("https://x.example/") for address in prefixed)


def test_label_studio_serves_images_of_the_export(row: Any, export: Any, root: Path, tmp_path: Path) -> None:
    addresses = tasks(export(LabelStudio, rows(row, root), images="copy"))
    assert addresses[0] == "/data/local-files/?d=label_studio/images/a.jpg"
    out = tmp_path / "split"
    out.mkdir()
    exporter = LabelStudio(LabelStudio.Params(images="link"))
    written = exporter.export_parts({"train": rows(row, root)[:1], "val": rows(row, root)[1:]}, ["cat", "dog"], out)
    assert all(path.exists() for path in written)
    [task] = json.loads((out / "train/tasks.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=label_studio/train/images/a.jpg"
    assert (out / "train/images/a.jpg").is_symlink()


@pytest.mark.parametrize("way", ["link", "copy", "upright"])
def test_a_page_of_a_file_is_placed_as_a_picture_of_its_own(
    exporter: Any, row: Any, export: Any, tmp_path: Path, way: str
) -> None:
    if exporter.at_top:
        pytest.skip("TAO leaves images where they are")
    pages = [Pillow.new("RGB", (80, 60), colour) for colour in ("red", "lime", "blue")]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "scan.tif", save_all=True, append_images=pages[1:])
    names = ["in/scan.tif", "in/scan.tif#page=2", "in/scan.tif#page=3"]
    labels = [replace(one, image=replace(one.image, path=str(tmp_path / one.image.id))) for one in map(row, names)]
    files = export(exporter, labels, images=way)
    seen = {}
    for name, path in files.items():
        if path.suffix in (".png", ".tif"):
            with Pillow.open(path) as picture:
                seen[name] = (picture.format, picture.convert("RGB").getpixel((0, 0)))
    assert sorted(seen.values()) == [("PNG", (0, 0, 255)), ("PNG", (0, 255, 0)), ("TIFF", (255, 0, 0))]
    if exporter is Coco:
        listed = json.loads(files["annotations.json"].read_text())["images"]
        assert {f"images/{one['file_name']}" for one in listed} == set(seen)
