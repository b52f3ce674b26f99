"""Files that datumaro and LabelMe's own library wrote come home; skipped where no Python with the two is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from autolabel.registry import discover
from autolabel.run.export import export_run
from tests.review.test_other_tools import ADDED, BLUE, RED, objects, take

PEERS = os.environ.get("AUTOLABEL_PEERS")
"""A Python that has datumaro and labelme installed."""
pytestmark = [pytest.mark.soak, pytest.mark.skipif(PEERS is None, reason="needs AUTOLABEL_PEERS")]

DATUMARO = """
import sys
import datumaro as dm

data = dm.Dataset.import_from(sys.argv[1], "cvat")
names = {label.name: number for number, label in enumerate(data.categories()[dm.AnnotationType.label])}
items = []
for item in data:
    kept = []
    for one in item.annotations:
        if item.id == "a b" and one.label == names["red"]:
            one = dm.Bbox(6, 3, 20, 20, label=names["red"])
        if item.id.endswith("c") and one.label == names["blue"]:
            continue
        if item.id.endswith("c"):
            one = one.wrap(label=names["green"])
        kept.append(one)
    if item.id == "a b":
        kept.append(dm.Bbox(0, 40, 10, 10, label=names["green"]))
    items.append(item.wrap(annotations=kept))
dm.Dataset.from_iterable(items, categories=data.categories(), media_type=dm.Image).export(
    sys.argv[2], sys.argv[3], save_media=False
)
"""

LABELME = """
import json, sys
from pathlib import Path
from labelme import _label_file

for file in Path(sys.argv[1]).rglob("*.json"):
    known = json.loads(file.read_text())
    shapes = known["shapes"]
    name = known["imagePath"]
    if name == "a b.png":
        for one in shapes:
            if one["label"] == "red":
                one["points"] = [[6, 3], [26, 23]]
        shapes.append({**shapes[0], "label": "green", "shape_type": "rectangle", "points": [[0, 40], [10, 50]]})
    if name.endswith("c.png"):
        shapes = [{**one, "label": "green"} for one in shapes if one["label"] != "blue"]
    _label_file.LabelFile().save(
        filename=str(file), shapes=shapes, image_path=name, image_height=known["imageHeight"],
        image_width=known["imageWidth"], image_data=None, other_data={}, flags={},
    )
"""


def edit(script: str, *words: str) -> None:
    done = subprocess.run([str(PEERS), "-c", script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def arrived(run: Path, file: Path) -> None:
    done = take(run, file)
    assert dict(done.counts) == {"kept": 5, "moved": 1, "added": 1, "removed": 1, "reclassified": 1}
    assert [one[:2] for one in objects(run, "a b.png")] == [
        ("blue", BLUE),
        ("green", ADDED),
        ("red", [6.0, 3.0, 26.0, 23.0]),
    ]
    assert [one[:2] for one in objects(run, "ü/c.png")] == [("green", RED)]


@pytest.mark.parametrize("form", ["cvat", "coco"])
def test_datumaro(run: Path, tmp_path: Path, form: str) -> None:
    export_run(run, "cvat", ["segmentation=none", "images=copy"], registry=discover())
    edit(DATUMARO, str(run / "cvat"), str(tmp_path / form), form)
    arrived(run, tmp_path / form)


def test_labelme(run: Path, tmp_path: Path) -> None:
    export_run(run, "labelme", ["segmentation=none"], registry=discover())
    folder = Path(shutil.copytree(run / "labelme" / "labels", tmp_path / "labelme"))
    edit(LABELME, str(folder))
    arrived(run, folder)


@pytest.fixture
def run(masked_run: Path) -> Path:
    return masked_run
