"""Corrections made in other tools' files arrive: moved, added, removed, reclassified, a mask redrawn."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel.cli.app import app
from autolabel.errors import DataError
from autolabel.registry import discover
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import Ledger
from autolabel.results.review import apply_to_row, is_checked
from autolabel.results.store import finished
from autolabel.run.apply_review import Applied, apply_review
from autolabel.run.export import export_run
from autolabel.types import Rle

RED, BLUE = [2.0, 3.0, 22.0, 23.0], [30.0, 30.0, 50.0, 60.0]


@pytest.fixture
def run(masked_run: Path) -> Path:
    return masked_run


@pytest.fixture
def exported(run: Path) -> Callable[..., Path]:
    def export(name: str, *params: str) -> Path:
        export_run(run, name, list(params), registry=discover())
        return Path(shutil.copytree(run / name, run.parent / name))

    return export


def take(run: Path, file: Path, **options: Any) -> Applied:
    return apply_review(run, file, registry=discover(), **options)


def objects(run: Path, image: str) -> list[tuple[str, list[float], tuple[int, ...] | None]]:
    """Class, box and bounds of the mask of what the run hands out of an image."""
    store, plan = finished(run)
    review = read_decisions(store)
    for row in Ledger(store.labels):
        if row.image.id == image:
            done = row if review is None else apply_to_row(row, review, classes=plan.manifest.classes)
            found = done.instances
            names = [done.prompt.phrases[label] for label in found.labels]
            masks = [None if mask is None else mask.bounds() for mask in found.masks or (None,) * len(found)]
            boxes = [[round(value, 1) for value in box] for box in found.boxes.tolist()]
            return sorted(zip(names, boxes, masks, strict=True), key=str)
    raise AssertionError(image)


def checked(run: Path) -> set[str]:
    store, _ = finished(run)
    review = read_decisions(store)
    assert review is not None
    return {row.image.id for row in Ledger(store.labels) if is_checked(row, review)}


# The edits: of "a b.png" red is moved and a green is added; of "ü/c.png" blue is removed and red is green now;
# of "d.png" the mask of blue is redrawn, where the format has masks; "e.png" is left as it is.
MOVED, ADDED, DRAWN = [6.0, 3.0, 26.0, 23.0], [0.0, 40.0, 10.0, 50.0], (30, 30, 40, 60)


def edit_coco(folder: Path) -> Path:
    file = folder / "annotations.json"
    coco = json.loads(file.read_text())
    image = {one["file_name"]: one["id"] for one in coco["images"]}
    classes = {one["name"]: one["id"] for one in coco["categories"]}
    at = {(one["image_id"], one["category_id"]): one for one in coco["annotations"]}
    red = at[image["a b.png"], classes["red"]]
    red["bbox"], red["segmentation"] = [6, 3, 20, 20], [[6, 3, 26, 3, 26, 23, 6, 23]]
    at[image["d.png"], classes["blue"]]["segmentation"] = [[30, 30, 40, 30, 40, 60, 30, 60]]
    at[image["ü/c.png"], classes["red"]]["category_id"] = classes["green"]
    coco["annotations"].remove(at[image["ü/c.png"], classes["blue"]])
    green = {"id": 99, "image_id": image["a b.png"], "category_id": classes["green"], "bbox": [0, 40, 10, 10]}
    coco["annotations"].append({**green, "area": 100, "iscrowd": 0})
    file.write_text(json.dumps(coco))
    return file


def brush(mask: np.ndarray) -> list[int]:
    from autolabel.types.label_studio import pack

    return pack(mask)


def edit_label_studio(folder: Path) -> Path:
    file = folder / "tasks.json"
    tasks = json.loads(file.read_text())
    out = []
    for number, task in enumerate(tasks):
        result = [dict(one) for one in task["predictions"][0]["result"]]
        name = task["data"]["image"]
        kind = lambda one: one["value"].get("brushlabels") or one["value"].get("rectanglelabels")  # noqa: E731
        if "a%20b" in name:
            for one in result:
                if kind(one) == ["red"]:
                    mask = np.zeros((64, 64), bool)
                    mask[3:23, 6:26] = True
                    one["value"] = {"format": "rle", "rle": brush(mask), "brushlabels": ["red"]}
            box = {"x": 0, "y": 62.5, "width": 15.625, "height": 15.625, "rotation": 0, "rectanglelabels": ["green"]}
            about = {"original_width": 64, "original_height": 64, "type": "rectanglelabels", "from_name": "box"}
            result.append({"id": "x8Kd", "to_name": "image", "value": box, **about})
        if "c.png" in name:
            result = [one for one in result if kind(one) != ["blue"]]
            for one in result:
                key = next(key for key in one["value"] if key.endswith("labels"))
                one["value"][key] = ["green"]
        if "d.png" in name:
            for one in result:
                if kind(one) == ["blue"]:
                    mask = np.zeros((64, 64), bool)
                    mask[30:60, 30:40] = True
                    one["value"] = {"format": "rle", "rle": brush(mask), "brushlabels": ["blue"]}
        old = {"result": [], "was_cancelled": True, "updated_at": "2026-02-02"}
        done = {"id": number, "result": result, "was_cancelled": False, "updated_at": "2026-01-01"}
        out.append({"id": number, "data": task["data"], "annotations": [done, old]})
    file.write_text(json.dumps(out))
    return file


def edit_cvat(folder: Path) -> Path:
    file = folder / "annotations.xml"
    tree = ElementTree.parse(file)
    for image in tree.getroot().iter("image"):
        shapes = {one.get("label"): one for one in image}
        if image.get("name") == "a b.png":
            shapes["red"].set("left", "6")
            ElementTree.SubElement(image, "box", label="green", xtl="0", ytl="40", xbr="10", ybr="50")
        if image.get("name") == "ü/c.png":
            image.remove(shapes["blue"])
            shapes["red"].set("label", "green")
        if image.get("name") == "d.png":
            for name, value in {"width": "10", "rle": f"0,{10 * 30}"}.items():
                shapes["blue"].set(name, value)
    tree.write(file, encoding="utf-8", xml_declaration=True)
    return file


def png(width: int, height: int) -> str:
    out = io.BytesIO()
    Pillow.new("L", (width, height), 255).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def edit_labelme(folder: Path) -> Path:
    for file in sorted(folder.rglob("*.json")):
        value = json.loads(file.read_text())
        shapes = {one["label"]: one for one in value["shapes"]}
        if value["imagePath"] == "a b.png":
            shapes["red"]["points"] = [[6, 3], [25, 22]]
            value["shapes"].append({"label": "green", "shape_type": "rectangle", "points": [[10, 50], [0, 40]]})
        if value["imagePath"].endswith("c.png"):
            value["shapes"].remove(shapes["blue"])
            shapes["red"]["label"] = "green"
        if value["imagePath"] == "d.png":
            shapes["blue"] |= {"points": [[30, 30], [39, 59]], "mask": png(10, 30)}
        file.write_text(json.dumps(value))
    return folder


def edit_yolo(folder: Path) -> Path:
    labels = folder / "labels"
    for file in labels.rglob("*.txt"):
        lines = {line.split()[0]: line for line in file.read_text().splitlines()}
        if file.stem == "a b":
            lines["0"] = f"0 {16 / 64} {13 / 64} {20 / 64} {20 / 64}"
            lines["2"] = f"2 {5 / 64} {45 / 64} {10 / 64} {10 / 64}"
        if file.stem.endswith("c"):
            lines = {"2": "2" + lines["0"][1:]}
        file.write_text("\n".join(lines.values()) + "\n")
    return folder


EDITS = {
    "coco": edit_coco,
    "label_studio": edit_label_studio,
    "cvat": edit_cvat,
    "labelme": edit_labelme,
    "yolo": edit_yolo,
}


@pytest.mark.parametrize("tool", EDITS)
def test_every_edit_arrives(run: Path, exported: Callable[..., Path], tool: str) -> None:
    done = take(run, EDITS[tool](exported(tool)))
    masks, alone = tool != "yolo", tool in ("label_studio", "cvat", "labelme")  # there a mask has no box beside it
    wanted = {"kept": 5 - masks, "moved": 1 + alone, "added": 1, "removed": 1, "reclassified": 1}
    changed = {"masks changed": 2} if masks else {}
    assert dict(done.counts) == wanted | changed
    assert done.images == 4 and done.problems == ()
    assert checked(run) == {"a b.png", "ü/c.png", "d.png", "e.png"}
    moved = tuple(int(value) for value in MOVED) if masks else None
    red, blue = (2, 3, 22, 23), (30, 30, 50, 60)
    assert objects(run, "a b.png") == [("blue", BLUE, blue), ("green", ADDED, None), ("red", MOVED, moved)]
    assert objects(run, "ü/c.png") == [("green", RED, red)]
    [found, other] = objects(run, "d.png")
    assert found[2] == (DRAWN if masks else blue) and other == ("red", RED, red)
    assert objects(run, "e.png") == [("blue", BLUE, blue), ("red", RED, red)]


@pytest.mark.parametrize("tool", EDITS)
def test_what_was_not_edited_is_kept_and_nothing_else(run: Path, exported: Callable[..., Path], tool: str) -> None:
    folder = exported(tool)
    if tool == "label_studio":
        tasks = json.loads((folder / "tasks.json").read_text())
        annotated = [{"data": task["data"], "annotations": task["predictions"]} for task in tasks]
        (folder / "tasks.json").write_text(json.dumps(annotated))
        folder = folder / "tasks.json"
    before = objects(run, "a b.png")
    done = take(run, folder)
    assert dict(done.counts) == {"kept": 8} and objects(run, "a b.png") == before
    assert dict(take(run, folder).counts) == {"kept": 8} and take(run, folder).new == 0, "a second time changes nothing"


def test_crowds_remove_nothing_and_are_told(run: Path, exported: Callable[..., Path], capsys: Any) -> None:
    file = exported("coco") / "annotations.json"
    coco = json.loads(file.read_text())
    names = {one["id"]: one["file_name"] for one in coco["images"]}
    mine = [one for one in coco["annotations"] if names[one["image_id"]].endswith("a b.png")]
    coco["annotations"] = [one for one in coco["annotations"] if one not in mine]
    coco["annotations"].append({**mine[0], "bbox": [0, 0, 60, 60], "iscrowd": 1, "segmentation": []})
    file.write_text(json.dumps(coco))
    done = take(run, file)
    assert len(objects(run, "a b.png")) == 2 and "removed" not in done.counts
    assert checked(run) == {"ü/c.png", "d.png", "e.png"}
    assert any("crowd regions (iscrowd)" in note and "a b.png" in note for note in done.notes)


def test_partial_files_say_nothing_about_what_they_lack(run: Path, exported: Callable[..., Path]) -> None:
    file = edit_coco(exported("coco"))
    done = take(run, file, partial=True)
    assert "removed" not in done.counts and done.counts["moved"] == 1
    assert checked(run) == set()
    assert len(objects(run, "ü/c.png")) == 2


@pytest.mark.parametrize(
    "name",
    ["images/39dda661__a%20b.png", "../photos/a b.png", "/data/upload/1/39dda661-a_b.png", "D:\\work\\photos\\a b.png"],
)
def test_names_that_tools_change_find_their_image(run: Path, exported: Callable[..., Path], name: str) -> None:
    file = edit_coco(exported("coco"))
    coco = json.loads(file.read_text())
    for image in coco["images"]:
        if image["file_name"] == "a b.png":
            image["file_name"] = name
    file.write_text(json.dumps(coco))
    assert take(run, file).images == 4
    assert ("green", ADDED, None) in objects(run, "a b.png")


def test_what_has_no_place_is_named_and_nothing_is_applied(run: Path, exported: Callable[..., Path]) -> None:
    file = exported("coco") / "annotations.json"
    coco = json.loads(file.read_text())
    coco["categories"][0]["name"] = "rde"
    next(one for one in coco["images"] if one["file_name"] == "d.png")["file_name"] = "d1.png"
    next(one for one in coco["images"] if one["file_name"] == "e.png")["width"] = 640
    file.write_text(json.dumps(coco))
    with pytest.raises(DataError) as caught:
        take(run, file)
    told = [f"{one.message} {one.hint}" for one in caught.value.problems]
    assert any("'d1.png' is not an image of this run" in one and "'d.png'" in one for one in told)
    assert any("'rde' is not a class of this run" in one and "'red'" in one for one in told)
    assert any("is 640x64 in the file, 64x64 in the run" in one for one in told)
    assert not (run / "review.jsonl").exists()
    done = take(run, file, skip_unknown=True, names={"rde": "red"})
    assert done.images == 2 and done.unknown_images == ("d1.png",) and done.unknown_classes == ()


def test_a_dry_run_tells_and_changes_nothing(run: Path, exported: Callable[..., Path], capsys: Any) -> None:
    file = edit_coco(exported("coco"))
    with pytest.raises(SystemExit) as left:
        app(["apply-review", str(run), str(file), "--dry-run"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert "COCO, 4 images: 4 kept, 1 moved, 1 added, 1 removed, 1 reclassified, 2 masks changed" in told
    assert not (run / "review.jsonl").exists()


def test_an_archive_is_looked_into_and_leads_nowhere(run: Path, exported: Callable[..., Path], tmp_path: Path) -> None:
    file = edit_coco(exported("coco"))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(file, "result.json")
        archive.writestr("images/x.jpg", b"not read")
    assert take(run, tmp_path / "export.zip").counts["moved"] == 1
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../outside.json", "{}")
    with pytest.raises(DataError, match="leads out"):
        take(run, tmp_path / "bad.zip")
    assert not (tmp_path.parent / "outside.json").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "no supported tool"),
        ("[", "not JSON"),
        ("[1, 2]", "not a list of Label Studio's tasks"),
        ("<a/>", "not CVAT's XML"),
        ("<annotations>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "document type"),
        ("<annotations><track/></annotations>", "contains video tracks"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_is_no_such_file_is_refused(run: Path, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        take(run, file)


@pytest.mark.parametrize(
    "mask",
    [
        '<mask label="red" rle="5" left="0" top="0" width="2" height="2"/>',
        '<mask label="red" rle="x" left="0" top="0" width="2" height="2"/>',
        '<mask label="red" rle="4" left="63" top="0" width="2" height="2"/>',
        '<mask label="red" rle="-1,5" left="0" top="0" width="2" height="2"/>',
        '<polygon label="red" points="1,2;3"/>',
        '<polygon label="red" points="1,2;3,4"/>',
        '<box label="red" xtl="nan" ytl="0" xbr="1" ybr="1"/>',
    ],
)
def test_a_shape_that_is_wrong_is_named(run: Path, tmp_path: Path, mask: str) -> None:
    file = tmp_path / "annotations.xml"
    file.write_text(f'<annotations><image name="d.png" width="64" height="64">{mask}</image></annotations>')
    with pytest.raises(DataError, match=r"d\.png: red at shape 0"):
        take(run, file)


def test_brushes_come_back_as_they_were() -> None:
    from autolabel.data.corrections.label_studio import unpack_brush

    generator = np.random.default_rng(0)
    for _ in range(5):
        mask = generator.random((17, 23)) > 0.5
        mask[:, 20:] = True
        assert unpack_brush(brush(mask), (17, 23)) == Rle.encode(mask)
    for damaged in ([], [0, 0], brush(mask)[:-3], [300], "x"):
        with pytest.raises(ValueError, match="brush"):
            unpack_brush(damaged, (17, 23))
    with pytest.raises(ValueError, match="does not fit"):
        unpack_brush(brush(mask), (23, 18))
