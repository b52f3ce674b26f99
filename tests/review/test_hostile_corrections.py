"""Files of other tools that are damaged, endless or made to do harm: one error each, with the name and what to do."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from autolabel.data.corrections import archive, bounded
from autolabel.data.corrections.archive import open_archive
from autolabel.data.corrections.read import read_corrections, tool_of
from autolabel.data.corrections.shapes import DrawnImage, Shape, objects
from autolabel.data.corrections.yolo import read_yolo
from autolabel.errors import DataError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: {a: red}", "data.yaml:1:9: 'a' is not a class number"),
        ("names: {.inf: red}", "data.yaml:1:9: .*inf"),
        ("names: {null: red}", "'null' is not a class number"),
        ("names: {2001-01-01: red}", "'2001-01-01' is not a class number"),
        ("names: {-1: red}", "'-1' is not a class number"),
        ("names: {1234567890: red}", "is not a class number"),
        ("names: {0: [red]}", "wanted a text"),
        ("names: [{a: red}]", "wanted a text"),
        (f"names: {{{'9' * 900}: red}}", "too many digits"),
        ("names: " + "[" * 20_000, "nested deeper"),
        (BOMB + "names: *a8", "values, with aliases expanded|more than 100 aliases"),
        ("names: !!python/name:os.system [x]", "tag"),
        ("- names", "'names' must list"),
        ("", "'names' must list"),
        ("names: 3", "'names' must list"),
        ("x" * 1_000_001, "larger than 1,000,000"),
    ],
)
def test_lists_of_classes_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_yolo(tmp_path)
    assert "data.yaml" in str(caught.value)


def test_classes_are_read_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("nc: 3\nnames:\n  0: no\n  1: 010\n  2: 'red car'\n")
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n2.0 .5 .5 .1 .1\n")
    [image] = read_yolo(tmp_path).images
    assert [shape.phrase for shape in image.shapes] == ["no", "010", "red car"]


@pytest.mark.parametrize("label", ["0.5", "nan", "inf", "3", "-1"])
def test_a_class_that_is_not_listed_has_its_line(tmp_path: Path, label: str) -> None:
    (tmp_path / "classes.txt").write_text("red\n")
    (tmp_path / "a.txt").write_text(f"\n{label} .5 .5 .1 .1\n")
    with pytest.raises(DataError, match=r"a\.txt:2:1: expected a class"):
        read_yolo(tmp_path)


def test_an_encoding_that_nobody_knows(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text('<?xml version="1.0" encoding="foo"?><annotations/>')
    with pytest.raises(DataError, match=r"a\.xml"):
        read_corrections(file, "cvat")


def packed(*names: str, text: str = "{}", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name in names:
            made.writestr(name, text)
    return out.getvalue()


def changed(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    place = content.index(signature) + offset
    return content[:place] + value + content[place + len(value) :]


def locked() -> bytes:
    return changed(changed(packed("a.json"), b"PK\1\2", 8, b"\1\0"), b"PK\3\4", 6, b"\1\0")


def wrong_sum() -> bytes:
    return changed(changed(packed("a.json"), b"PK\1\2", 16, b"abcd"), b"PK\3\4", 14, b"abcd")


def unknown_method() -> bytes:
    number = struct.pack("<H", 97)
    return changed(changed(packed("a.json"), b"PK\1\2", 10, number), b"PK\3\4", 8, number)


def damaged() -> bytes:
    return changed(packed("a.json", text="[1, 2, 3]" * 99), b"PK\3\4", 30 + len("a.json"), b"\xff" * 8)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (locked, "a.json"),
        (wrong_sum, "a.json"),
        (unknown_method, "a.json"),
        (damaged, "a.json"),
        (lambda: packed("a.json", "a.json/b.json"), "a.json"),
        (lambda: packed("a" * 300 + ".json"), "cannot be unpacked"),
        (lambda: packed("/a.json"), "leads out"),
        (lambda: packed("a.json", text="not JSON"), "a.json: not JSON"),
    ],
)
def test_archives_that_cannot_be_read(tmp_path: Path, made: Callable[[], bytes], words: str) -> None:
    file = tmp_path / "export.zip"
    file.write_bytes(made())
    with pytest.raises(DataError) as caught, open_archive(file) as place:
        read_corrections(place, tool_of(place))
    said = str(caught.value)
    assert words in said and said.startswith(f"{file}: ") and "/tmp/tmp" not in said


def test_what_an_archive_or_a_file_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bounded.MOST_DOCUMENT <= 1 << 27 and archive.MOST_UNPACKED <= 1 << 29
    monkeypatch.setattr(archive, "MOST_DOCUMENT", 100)
    monkeypatch.setattr(archive, "MOST_UNPACKED", 150)
    file = tmp_path / "export.zip"
    file.write_bytes(packed("a.json", text=" " * 101))
    with pytest.raises(DataError, match=r"'a\.json' is larger than 100 bytes"), open_archive(file):
        pass
    file.write_bytes(packed("a.json", "b.json", text=" " * 90))
    with pytest.raises(DataError, match="more than 150 bytes"), open_archive(file):
        pass
    (tmp_path / "a.json").write_bytes(b"{}")
    with pytest.raises(DataError, match="larger than 1 bytes"):
        bounded.read_bytes(tmp_path / "a.json", most=1)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (Path("/dev/zero"), tmp_path / "pipe.json"):
        with pytest.raises(DataError, match="not a regular file"), open_archive(path):
            pass
    with pytest.raises(DataError, match="no supported tool"):
        tool_of(tmp_path)


@pytest.mark.parametrize("far", [1e308, 1e9, -1e9])
def test_corners_far_away_are_a_fault_of_their_shape(far: float) -> None:
    for kind in ("box", "polygon"):
        shape = Shape(phrase="red", kind=kind, points=[(0, 0), (far, 5), (5, far)])
        found, faults = objects(DrawnImage(name="a.png", size=None, shapes=[shape]), (64, 64))
        assert not found and "pixels away" in faults[0]


def test_a_file_may_have_a_fault_of_a_number(tmp_path: Path) -> None:
    shape = {"label": "red", "shape_type": "circle", "points": [[1e308, 0], [-1e308, 1]]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"imagePath": "a.png", "shapes": [shape]}))
    assert read_corrections(file, "labelme").images[0].name == "a.png"
