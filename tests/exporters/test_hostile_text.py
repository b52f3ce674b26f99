"""Whatever a class, a caption or a file is called stays text, inside the export's folder."""

from __future__ import annotations

import json
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from autolabel_exporters.coco import Coco
from autolabel_exporters.cvat import Cvat
from autolabel_exporters.file_names import FileNames
from autolabel_exporters.kitti import Kitti
from autolabel_exporters.label_studio import LabelStudio
from autolabel_exporters.labelme import Labelme
from autolabel_exporters.odvg import Odvg
from autolabel_exporters.voc import Voc
from autolabel_exporters.yolo import Yolo

SEEDS = [
    "<script>alert(1)</script>",
    "</name></object><object>",
    '"><img src=x onerror=alert(1)>',
    "]]><!--",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "&amp;&lt;&#65;",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred",
    "{{7*7}} ${7*7} %s %d",
    "'; DROP TABLE labels; --",
    "\\u0041\\n\\",
    "a\tb\nc\rd",
    "é 猫 😀 עברית",
    "\u2028\u2029\u0085",
    "x: [1, 2] # no",
    "!!python/object/apply:os.system ['true']",
    "null",
    " leading and trailing ",
    "a,b;c|d",
    "\u202etxt.exe",
]
TEXTS = [f"{seed}{extra}" for seed in SEEDS for extra in ("", " 1", "<", '"', "é")]
NAMES = [
    "a.jpg", "a.png", "A.JPG", "a", ".a.jpg", ".jpg", "-rf.jpg", " .jpg", "a .jpg", "a b.jpg", "a/b.jpg", "a/b/c.jpg",
    "new\nline.jpg", "new_line.jpg", "tab\t.jpg", "q'\".jpg", "%41.jpg", "%.jpg", "ä.jpg", "ä.jpg", "猫.jpg", "😀.jpg",
    "\u202e.jpg", "x" * 251 + ".jpg", "é" * 125 + ".jpg", "x" * 255, "a.b.c.jpg", "a.b.c.png", "a..jpg", "..a.jpg",
    "back\\slash.jpg", "nul\0.jpg", "../../etc/passwd.jpg", "/etc/passwd.jpg", "a/../../b.jpg", "./a.webp", "", "..",
    "con.jpg", "a:b.jpg", "*.jpg", "f.txt/x.jpg", "f.jpg", "<b>.jpg", "a.JPG.jpg", "\udcff.jpg", "$HOME.jpg", "~.jpg",
]  # fmt: skip


def readable(text: str) -> str:
    """What XML 1.0 keeps of a text."""
    kept = [c if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") else "\ufffd" for c in text]
    return "".join(kept)


def test_a_hundred_texts_are_read_back_literally(row: Any, export: Any) -> None:
    assert len(set(TEXTS)) == 100
    box = [[1, 2, 11, 22]]
    rows = [row(f"{n:03}.jpg", box * 100, phrases=TEXTS, labels=range(100), scores=[0.5] * 100) for n in range(1)]
    coco = json.loads(export(Coco, rows, TEXTS)["annotations.json"].read_text("utf-8"))
    assert [category["name"] for category in coco["categories"]] == TEXTS
    odvg = json.loads(export(Odvg, rows, TEXTS)["annotations.jsonl"].read_text("utf-8"))
    assert [item["category"] for item in odvg["detection"]["instances"]] == TEXTS
    yolo = export(Yolo, rows, TEXTS)["data.yaml"].read_text("utf-8")
    assert list(YAML(typ="safe", pure=True).load(yolo)["names"].values()) == TEXTS
    labelme = json.loads(export(Labelme, rows, TEXTS)["labels/000.json"].read_text("utf-8"))
    assert [shape["label"] for shape in labelme["shapes"]] == TEXTS
    tasks = json.loads(export(LabelStudio, rows, TEXTS)["tasks.json"].read_text("utf-8"))
    assert [r["value"]["rectanglelabels"][0] for r in tasks[0]["predictions"][0]["result"]] == TEXTS
    kitti = json.loads(export(Kitti, rows, TEXTS)["labelmap.json"].read_text("utf-8"))
    assert sorted(kitti.values()) == sorted(TEXTS)


def test_a_hundred_texts_are_read_back_from_xml(row: Any, export: Any) -> None:
    rows = [row("000.jpg", [[1, 2, 11, 22]] * 100, phrases=TEXTS, labels=range(100), scores=[0.5] * 100)]
    wanted = [readable(text) for text in TEXTS]
    voc = ElementTree.fromstring(export(Voc, rows, TEXTS)["Annotations/000.xml"].read_bytes())
    assert [found.findtext("name") for found in voc.iter("object")] == wanted
    cvat = ElementTree.fromstring(export(Cvat, rows, TEXTS)["annotations.xml"].read_bytes())
    assert [found.get("label") for found in cvat.iter("box")] == wanted
    assert [label.findtext("name") for label in cvat.iter("label")] == wanted
    config = ElementTree.fromstring(export(LabelStudio, rows, TEXTS)["label_config.xml"].read_bytes())
    assert [entry.get("value") for entry in config[1]] == wanted


@pytest.mark.parametrize("ending", [".txt", ".xml", ".json", ".jpg"])
def test_every_image_has_a_file_of_its_own_inside_the_folder(ending: str) -> None:
    names = FileNames.survey(NAMES)
    made = [names.name(image_id, ending) for image_id in NAMES]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in made}) == len(set(NAMES))
    for name in made:
        path = PurePosixPath(name)
        assert not path.is_absolute() and ".." not in path.parts and name.endswith(ending)
        assert all(len(part.encode()) <= 255 for part in path.parts)
        assert not any(ord(c) < 32 or c in "\\\x7f" for c in name)


def test_ordinary_names_pair_with_their_images() -> None:
    ordinary = ["a.jpg", "é/b c.png", "d.e.jpg", "-x.jpg", "%41.jpg"]
    names = FileNames.survey(ordinary)
    assert [names.name(image_id, ".txt") for image_id in ordinary] == [
        "a.txt",
        "é/b c.txt",
        "d.e.txt",
        "-x.txt",
        "%41.txt",
    ]


def test_images_that_differ_in_their_ending_only_share_no_file() -> None:
    names = FileNames.survey(["a.jpg", "a.png", "b.jpg"])
    first, second, third = (names.name(image_id, ".txt") for image_id in ("a.jpg", "a.png", "b.jpg"))
    assert first != second and third == "b.txt"
    assert first.startswith("a-") and second.startswith("a-")


def test_hostile_names_are_written_by_every_exporter(exporter: Any, row: Any, export: Any, tmp_path: Any) -> None:
    image_ids = sorted(set(NAMES) - {"\udcff.jpg", "nul\0.jpg"})
    rows = [row(name, [[1, 2, 11, 22]], caption="x" if exporter is Odvg else None) for name in image_ids]
    files = export(exporter, rows)
    per_image = [name for name in files if name.split("/")[0] in ("labels", "label_2", "Annotations")]
    assert len(per_image) in (0, len(image_ids))
    assert {path.name for path in tmp_path.iterdir()} == {f"{exporter.name}-0"}


def test_every_exporter_is_deterministic_and_writes_empty_data_sets(exporter: Any, row: Any, export: Any) -> None:
    rows = [row("a.jpg", [[1, 2, 11, 22]]), row("b.jpg"), row("c.jpg", failed=True)]
    first, second = export(exporter, rows), export(exporter, rows)
    assert list(first) == list(second)
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]
    assert not any("c." in name for name in first)
    export(exporter, [])


def test_yolo_links_have_the_names_of_their_label_files(row: Any, export: Any, tmp_path_factory: Any) -> None:
    root, image_ids = tmp_path_factory.mktemp("photos"), ["a.jpg", "a.png", "new\nline.jpg", "f.txt/x.jpeg", "..a.webp"]
    for image_id in image_ids:
        (root / image_id).parent.mkdir(exist_ok=True)
        (root / image_id).write_text(image_id)
    files = export(Yolo, [row(name, [[1, 2, 11, 22]]) for name in sorted(image_ids)], images=str(root))
    links = {name.removeprefix("images/"): path for name, path in files.items() if path.is_symlink()}
    assert sorted(path.read_text() for path in links.values()) == sorted(image_ids)
    assert {name.rpartition(".")[0] for name in links} == {name[7:-4] for name in files if name.endswith(".txt")}
