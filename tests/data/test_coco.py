"""COCO files as they are, and every way in which one can be wrong."""
# ruff: noqa: E501

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autolabel.data.coco.read import CocoBoxes, read_coco
from autolabel.errors import DataError
from autolabel.types import Rle

SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]
WHOLE = Rle.encode(np.ones((80, 100), bool)).as_coco()
GOOD: dict[str, Any] = {
    "info": {"year": 2026},
    "images": [
        {"id": 5, "file_name": "b/b.jpg", "width": 100, "height": 80, "license": 1},
        {"id": 2, "file_name": "a.jpg", "width": 10, "height": 10},
        {"id": 9, "file_name": "c.jpg"},
    ],
    "categories": [{"id": 3, "name": "tree", "supercategory": "plant"}, {"id": 1, "name": "car"}],
    "annotations": [
        {"id": 10, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3.5, 4], "area": 14.0, "iscrowd": 0},
        {"id": 11, "image_id": 5, "category_id": 3, "bbox": [0, 0, 50, 40], "segmentation": [SQUARE]},
        {"id": 12, "image_id": 2, "category_id": 3, "bbox": [0, 0, 9, 9]},
        {"id": 13, "image_id": 5, "category_id": 1, "bbox": [1, 1, 2, 2], "iscrowd": 1, "segmentation": WHOLE},
    ],
}  # fmt: skip

Read = Callable[[Any], CocoBoxes]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def write(content: Any) -> CocoBoxes:
        path = tmp_path / "boxes.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_coco(path)

    return write


def changed(place: str, value: Any) -> dict[str, Any]:
    """Return the good file with one value changed, by JSON pointer; ``...`` removes it."""
    document: Any = copy.deepcopy(GOOD)
    *steps, last = [int(step) if step.isdigit() else step for step in place.strip("/").split("/")]
    target = document
    for step in steps:
        target = target[step]
    if value is ...:
        del target[last]
    elif isinstance(target, list) and last == len(target):
        target.append(value)
    else:
        target[last] = value
    return document  # type: ignore[no-any-return]


def faults(read: Read, content: Any) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as caught:
        read(content)
    assert caught.value.problems
    return [(problem.path, problem.message) for problem in caught.value.problems]


def test_images_and_annotations_come_in_the_files_order(read: Read) -> None:
    coco = read(GOOD)
    assert dict(coco.categories) == {3: "tree", 1: "car"}
    assert list(coco.categories) == [3, 1]
    assert len(coco) == 4
    groups = [(image.file_name, [annotation.id for annotation in own]) for image, own in coco.by_image()]
    assert groups == [("b/b.jpg", [11, 13]), ("a.jpg", [10, 12]), ("c.jpg", [])]


def test_annotations_are_as_written(read: Read) -> None:
    by_id = {annotation.id: annotation for _, own in read(GOOD).by_image() for annotation in own}
    assert by_id[10].bbox == (1, 2, 3.5, 4)
    assert (by_id[10].area, by_id[10].iscrowd, by_id[10].segmentation) == (14.0, 0, None)
    assert by_id[11].segmentation == [SQUARE]
    assert by_id[13].fields() == {"id": 13, "image_id": 5, "category_id": 1, "iscrowd": 1, "segmentation": WHOLE}
    assert by_id[11].fields() == {"id": 11, "image_id": 5, "category_id": 3, "iscrowd": 0}
    assert by_id[10].corners().dtype == np.float32
    assert by_id[10].corners().tolist() == [1, 2, 4.5, 6]


def test_fields_of_the_owners_own_are_kept(read: Read) -> None:
    coco = read(changed("/annotations/2/tags", {"deep": ["x", None, 1.5]}))
    by_id = {annotation.id: annotation for _, own in coco.by_image() for annotation in own}
    assert by_id[12].extra == {"tags": {"deep": ["x", None, 1.5]}}
    assert by_id[12].fields()["tags"] == {"deep": ["x", None, 1.5]}
    assert by_id[11].extra == {}


def test_corners_are_added_in_float32(read: Read) -> None:
    coco = read(changed("/annotations/0/bbox", [0.1, 300.7, 31.7, 30.2]))
    annotation = next(a for _, own in coco.by_image() for a in own if a.id == 10)
    x, width = np.float32(0.1), np.float32(31.7)
    assert annotation.corners()[2] == x + width


@pytest.mark.parametrize(
    ("bbox", "note"),
    [
        ([1, 2, 3, 4], ""),
        ([-5, -5, 10, 10], ""),
        ([90, 70, 50, 50], ""),
        ([100, 0, 5, 5], "annotation 11: the box [100.0, 0.0, 5.0, 5.0] is outside the 100x80 image"),
        ([0, 90, 5, 5], "annotation 11: the box [0.0, 90.0, 5.0, 5.0] is outside the 100x80 image"),
        ([-5, 0, 5, 5], "annotation 11: the box [-5.0, 0.0, 5.0, 5.0] is outside the 100x80 image"),
        ([5, 5, 0, 5], "annotation 11: the box [5.0, 5.0, 0.0, 5.0] has no area"),
    ],
)
def test_odd_boxes_are_carried_with_a_note(read: Read, bbox: list[float], note: str) -> None:
    pairs = [(image, own) for image, own in read(changed("/annotations/1/bbox", bbox)).by_image()]
    image, annotations = pairs[0]
    assert annotations[0].note(image) == note


@pytest.mark.parametrize(
    ("place", "value", "pointer", "message"),
    [
        ("/annotations/0/bbox/2", -3, "/annotations/0/bbox/2", "reversed box: its width must not be negative, got -3"),
        ("/annotations/0/bbox/3", -0.5, "/annotations/0/bbox/3", "reversed box: its height must not be negative, got -0.5"),
        ("/annotations/0/bbox/0", float("nan"), "/annotations/0/bbox/0", "must be a number, got NaN"),
        ("/annotations/3/bbox/3", float("inf"), "/annotations/3/bbox/3", "must be a number, got Infinity"),
        ("/annotations/3/bbox/1", float("-inf"), "/annotations/3/bbox/1", "must be a number, got -Infinity"),
        ("/annotations/0/bbox/1", 10**400, "/annotations/0/bbox/1", "must be a finite number, got 1000000000"),
        ("/annotations/0/bbox/1", "7", "/annotations/0/bbox/1", 'must be a number, got "7"'),
        ("/annotations/0/bbox", [1, 2, 3], "/annotations/0/bbox", "must be a list of 4, got [1, 2, 3]"),
        ("/annotations/0/bbox", None, "/annotations/0/bbox", "must be a list, got null"),
        ("/annotations/0/bbox", ..., "/annotations/0", "'bbox' is missing"),
        ("/annotations/1/id", "11", "/annotations/1/id", 'must be an integer, got "11"'),
        ("/annotations/1/id", 11.5, "/annotations/1/id", "must be an integer, got 11.5"),
        ("/annotations/1/id", True, "/annotations/1/id", "must be an integer, got true"),
        ("/annotations/1/id", 2**70, "/annotations/1/id", "must be an integer of at most 9223372036854775807, got"),
        ("/annotations/1/id", 10, "/annotations/1/id", "10 is taken by /annotations/0"),
        ("/annotations/1/id", ..., "/annotations/1", "'id' is missing"),
        ("/annotations/1/image_id", 77, "/annotations/1/image_id", "no image has the id 77"),
        ("/annotations/1/image_id", "5", "/annotations/1/image_id", 'must be an integer, got "5"'),
        ("/annotations/1/category_id", 2, "/annotations/1/category_id", "no category has the id 2"),
        ("/annotations/1/category_id", ..., "/annotations/1", "'category_id' is missing"),
        ("/annotations/1/iscrowd", 2, "/annotations/1/iscrowd", "must be an integer of at most 1, got 2"),
        ("/annotations/1/area", "big", "/annotations/1/area", 'must be a number or null, got "big"'),
        ("/annotations/1", 17, "/annotations/1", "must be an object, got 17"),
        ("/annotations/3/segmentation/counts", [5, 10], "/annotations/3/segmentation", "too short: its runs add up to 15"),
        ("/annotations/3/segmentation/counts", "5:", "/annotations/3/segmentation", "too short: its runs add up to 15"),
        ("/annotations/3/segmentation/counts", [9000], "/annotations/3/segmentation", "too long: its runs add up to 9000"),
        ("/annotations/3/segmentation/counts", [-1, 8001], "/annotations/3/segmentation/counts/0", "of at least 0"),
        ("/annotations/3/segmentation/counts", 'Tm7lL', "/annotations/3/segmentation", "an RLE has a negative run"),
        ("/annotations/3/segmentation/counts", "P", "/annotations/3/segmentation", "not a COCO string"),
        ("/annotations/3/segmentation/size", [100, 80], "/annotations/3/segmentation", "must be [80, 100] as the image is"),
        ("/annotations/3/segmentation/size", [100], "/annotations/3/segmentation/size", "must be a list of 2, got [100]"),
        ("/annotations/3/segmentation/counts", ..., "/annotations/3/segmentation", "'counts' is missing"),
        ("/annotations/1/segmentation/0", [1, 2, 3, 4], "/annotations/1/segmentation/0", "a list of at least 6"),
        ("/annotations/1/segmentation/0", [*SQUARE, 1], "/annotations/1/segmentation", "even number of coordinates, got 9"),
        ("/annotations/1/segmentation", "x", "/annotations/1/segmentation", 'got "x"'),
        ("/images/0/id", 2, "/images/1/id", "2 is taken by /images/0"),
        ("/images/0/id", "5", "/images/0/id", 'must be an integer, got "5"'),
        ("/images/0/file_name", ..., "/images/0", "'file_name' is missing"),
        ("/images/0/file_name", "../x.jpg", "/images/0/file_name", "'../x.jpg' leads out of its folder"),
        ("/images/0/file_name", "/etc/passwd", "/images/0/file_name", "'/etc/passwd' is an absolute path"),
        ("/images/0/file_name", "C:\\x", "/images/0/file_name", "has a backslash"),
        ("/images/0/file_name", "", "/images/0/file_name", "'' is empty"),
        ("/images/0/width", 0, "/images/0/width", "of at least 1, got 0"),
        ("/images/0/height", "80", "/images/0/height", 'must be an integer or null, got "80"'),
        ("/images", {}, "/images", "must be a list"),
        ("/images", ..., "", "'images' is missing"),
        ("/annotations", None, "/annotations", "must be a list"),
        ("/annotations", ..., "", "'annotations' is missing"),
        ("/categories", ..., "", "'categories' is missing"),
        ("/categories/0/id", 1, "/categories/1/id", "1 is taken by /categories/0"),
        ("/categories/0/name", "car", "/categories/1/name", "'car' is taken by /categories/0"),
        ("/categories/0/name", " ", "/categories/0/name", "is empty"),
        ("/categories/0/name", 5, "/categories/0/name", "must be text, got 5"),
        ("/videos", [], "/videos", "files with videos (YouTube-VIS) are not supported"),
    ],
)  # fmt: skip
def test_each_fault_is_placed(read: Read, place: str, value: Any, pointer: str, message: str) -> None:
    found = faults(read, changed(place, value))
    assert [path for path, _ in found] == [pointer]
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", ":1:1: is not JSON: invalid character"),
        (b"[]", "must be an object, got []"),
        (b"{}", "'images' is missing"),
        (json.dumps(GOOD).encode()[:-40], "ends too early: it was cut off"),
        (json.dumps(GOOD).encode() + b"}", "is not JSON: trailing characters"),
        (b'{"images": [\n  {"id": 1,, "file_name": "x"}]}', ":2:12: is not JSON"),
        (b'{"images": ["\xff"]}', ":1:14: is not UTF-8 text: invalid start byte"),
        (b"\x1f\x8b\x08\x00", "is not UTF-8 text"),
        (b"[" * 100_000, "must be an object"),
        (b'{"x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"images": [NaN], "annotations": [], "categories": []}', "/images/0: must be an object, got NaN"),
        (b'{"images": [NaN,,]}', "is not JSON: invalid character"),
    ],
)
def test_files_that_are_no_coco_file(read: Read, content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    assert message in str(caught.value)


def test_a_byte_order_mark_does_no_harm(read: Read) -> None:
    assert len(read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())) == 4


@pytest.mark.parametrize("shift", range(4))
def test_characters_across_the_borders_of_blocks(read: Read, shift: int) -> None:
    start = b'{"info": "' + b"a" * (2**20 - 12 + shift)
    rest = b'", "images": [], "annotations": [], "categories": []}'
    assert len(read(start + "é".encode() + rest)) == 0
    with pytest.raises(DataError, match=f":1:{len(start) + 1}: is not UTF-8"):
        read(start + b"\xc3" + rest)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: cannot be read: No such file"):
        read_coco(tmp_path / "nowhere.json")


def test_all_faults_are_told_at_once_up_to_fifty(read: Read) -> None:
    document = changed("/annotations/0/bbox/2", -3)
    document["annotations"][2]["id"] = "x"
    document["images"][0]["file_name"] = "/a"
    assert [path for path, _ in faults(read, document)] == [
        "/images/0/file_name",
        "/annotations/0/bbox/2",
        "/annotations/2/id",
    ]
    document["annotations"] = [{"id": "x"}] * 2000
    assert len(faults(read, document)) == 50


def test_faults_deep_in_a_long_file_keep_their_pointers(read: Read) -> None:
    document = copy.deepcopy(GOOD)
    row = document["annotations"][0]
    document["annotations"] = [{**row, "id": number} for number in range(2000)]
    document["annotations"][1999]["id"] = 700
    document["annotations"][1500]["image_id"] = 4
    document["annotations"][1300]["segmentation"] = {"size": [10, 10], "counts": "5"}
    assert [path for path, _ in faults(read, document)] == [
        "/annotations/1999/id", "/annotations/1500/image_id", "/annotations/1300/segmentation"
    ]  # fmt: skip


def test_segmentations_may_be_left_unchecked(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(changed("/annotations/3/segmentation/counts", [5, 10])))
    with pytest.raises(DataError):
        read_coco(path)
    assert len(read_coco(path, masks=False)) == 4


def test_no_annotations_are_no_fault(read: Read) -> None:
    coco = read(changed("/annotations", []))
    assert [own for _, own in coco.by_image()] == [[], [], []]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.sampled_from(["a.jpg", "x", "", "../y"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "name", "bbox", "size"]), inner),
    max_leaves=6,
)
places = st.sampled_from(
    [f"/{section}/{index}/{key}" for section, keys in {
        "images": ("id", "file_name", "width"),
        "categories": ("id", "name"),
        "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "own"),
    }.items() for index in (0, 1) for key in keys] + ["/images", "/annotations", "/categories", "/images/1", "/annotations/1"]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=places, value=values)
def test_whatever_stands_anywhere_only_data_errors_leave(read: Read, place: str, value: Any) -> None:
    try:
        for image, own in read(changed(place, value)).by_image():
            for annotation in own:
                annotation.note(image)
                assert np.isfinite(annotation.corners()).all() or max(map(abs, annotation.bbox)) > 1e38
    except DataError as error:
        assert error.problems


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_pycocotools_reads_the_same(read: Read, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    coco = read(GOOD)
    theirs = COCO(tmp_path / "boxes.json")
    for image, own in coco.by_image():
        rows = theirs.loadAnns(theirs.getAnnIds(imgIds=[image.id]))
        assert [annotation.id for annotation in own] == [row["id"] for row in rows]
        for annotation, row in zip(own, rows, strict=True):
            if annotation.segmentation is not None and image.height is not None and image.width is not None:
                mask = Rle.from_coco(annotation.segmentation, (image.height, image.width))
                assert np.array_equal(mask.decode(), theirs.annToMask(row))
