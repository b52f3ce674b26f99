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
    return document


def faults(read: Read, content: Any) -> list[tuple[str, str]]:
    """Return the places and messages of what is left out or was repaired."""
    coco = read(content)
    list(coco.by_image())
    assert bool(coco.notes) == bool(coco.faults.left_out)
    return [(problem.path, problem.message) for problem in coco.faults.left_out]


def refused(read: Read, content: Any) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as caught:
        read(content)
    assert caught.value.problems
    return [(problem.path, problem.message) for problem in caught.value.problems]


def kept(coco: CocoBoxes) -> list[int | None]:
    return [annotation.id for _, own in coco.by_image() for annotation in own]


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
    ("place", "value", "pointer", "message"),
    [
        ("/annotations/0/bbox/2", -3, "/annotations/0/bbox/2", "reversed box: its width must not be negative, got -3"),
        ("/annotations/0/bbox/3", -0.5, "/annotations/0/bbox/3", "reversed box: its height must not be negative, got -0.5"),
        ("/annotations/0/bbox/0", float("nan"), "/annotations/0/bbox/0", "must be a finite number, got NaN"),
        ("/annotations/3/bbox/3", float("inf"), "/annotations/3/bbox/3", "must be a finite number, got Infinity"),
        ("/annotations/3/bbox/1", float("-inf"), "/annotations/3/bbox/1", "must be a finite number, got -Infinity"),
        ("/annotations/0/bbox/1", 10**400, "/annotations/0/bbox/1", "must be a finite number, got "),
        ("/annotations/0/bbox/1", "7", "/annotations/0/bbox/1", 'must be a finite number, got "7"'),
        ("/annotations/0/bbox", [1, 2, 3], "/annotations/0/bbox", "must be a list of 4 numbers, got [1, 2, 3]"),
        ("/annotations/0/bbox", None, "/annotations/0/bbox", "must be a list of 4 numbers, got null"),
        ("/annotations/0/bbox", ..., "/annotations/0", "'bbox' is missing"),
        ("/annotations/1/id", 10, "/annotations/1/id", "10 is taken by /annotations/0"),
        ("/annotations/1/image_id", 77, "/annotations/1/image_id", "no image has the id 77"),
        ("/annotations/1/category_id", 2, "/annotations/1/category_id", "no category has the id 2"),
        ("/annotations/1/category_id", ..., "/annotations/1", "'category_id' is missing"),
        ("/annotations/1/iscrowd", 2, "/annotations/1/iscrowd", "must be 0 or 1, got 2"),
        ("/annotations/1/image_id", "x", "/annotations/1/image_id", 'must be an integer, got "x"'),
        ("/annotations/1/image_id", 5.5, "/annotations/1/image_id", "must be an integer, got 5.5"),
        ("/images/0/id", "x", "/images/0/id", 'must be an integer, got "x"'),
        ("/images/0/width", 0, "/images/0/width", "no size is stated: width is 0"),
        ("/images/0/height", "tall", "/images/0/height", 'no size is stated: height is "tall"'),
        ("/annotations/1/depth", float("nan"), "/annotations/1/depth", "NaN is not JSON and becomes null"),
        ("/annotations/1/depth", [1, {"x": float("inf")}], "/annotations/1/depth/1/x", "Infinity is not JSON"),
        ("/annotations/1/depth", 2**70, "/annotations/1/depth", "cannot be kept and becomes null"),
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
        ("/images/0/file_name", ..., "/images/0", "'file_name' is missing"),
        ("/images/0/file_name", "", "/images/0/file_name", "is empty"),
        ("/categories/0/id", 1, "/categories/1/id", "1 is taken by /categories/0"),
        ("/categories/0/name", " ", "/categories/0/name", "is empty"),
        ("/categories/0/name", 5, "/categories/0/name", "must be text, got 5"),
    ],
)  # fmt: skip
def test_each_fault_is_placed_and_costs_no_other_entry(
    read: Read, place: str, value: Any, pointer: str, message: str
) -> None:
    found = faults(read, changed(place, value))
    assert pointer == found[0][0] and message in found[0][1]
    assert {path.split("/")[-1] for path, _ in found[1:]} <= {"image_id", "category_id"}, "entries that are about it"
    left = kept(read(changed(place, value)))
    own = pointer.split("/")[1:3] if pointer.startswith("/annotations") else []
    lost = {10, 11, 12, 13}.difference(left)
    assert lost <= ({10 + int(own[1])} if own else {10, 11, 12, 13} if len(found) > 1 else set())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/annotations/1/id", "11"), ("/annotations/1/id", 11.0), ("/annotations/1/image_id", "5"),
        ("/annotations/1/image_id", 5.0), ("/annotations/1/category_id", "3"), ("/annotations/1/area", "big"),
        ("/annotations/1/area", -4), ("/annotations/1/area", float("nan")), ("/annotations/1/iscrowd", False),
        ("/annotations/1/iscrowd", None), ("/annotations/1/iscrowd", "0"), ("/images/0/id", "5"), ("/images/0/width", -1),
        ("/images/0/width", None), ("/images/0/height", "80"), ("/images/0/height", 80.0), ("/categories/0/id", "3"),
        ("/categories/0/supercategory", float("nan")), ("/images/0/date", float("nan")), ("/info/year", float("nan")),
    ],
)  # fmt: skip
def test_what_is_not_needed_or_can_be_repaired_costs_nothing(read: Read, place: str, value: Any) -> None:
    coco = read(changed(place, value))
    assert kept(coco) == [11, 13, 10, 12]
    json.dumps([coco.rest(), [image.fields() for image in coco.images]], allow_nan=False)


@pytest.mark.parametrize("value", [11.5, True, 2**70, None, "x", ...])
def test_an_annotation_needs_no_id(read: Read, value: Any) -> None:
    assert sorted(map(str, kept(read(changed("/annotations/1/id", value))))) == ["10", "12", "13", "None"]


def test_two_categories_may_share_a_name(read: Read) -> None:
    assert dict(read(changed("/categories/0/name", "car")).categories) == {3: "car", 1: "car"}


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/passwd", "C:\\x", "a\\b.jpg"])
def test_names_that_lead_elsewhere_are_only_names(read: Read, name: str) -> None:
    assert read(changed("/images/0/file_name", name)).images[0].file_name == name


@pytest.mark.parametrize(
    ("place", "value", "pointer", "message"),
    [
        ("/images", {}, "/images", "must be a list"),
        ("/images", ..., "", "'images' is missing"),
        ("/images", [{"id": 1}], "/images/0", "'file_name' is missing"),
        ("/annotations", None, "/annotations", "must be a list"),
        ("/annotations", ..., "", "'annotations' is missing"),
        ("/annotations", [{"id": 1}], "/annotations/0", "'image_id' is missing"),
        ("/categories", ..., "", "'categories' is missing"),
        ("/categories", [{"id": 1}], "/categories/0", "'name' is missing"),
        ("/videos", [], "/videos", "files with videos (YouTube-VIS) are not supported"),
    ],
)
def test_a_file_of_which_nothing_can_be_used_is_refused(
    read: Read, place: str, value: Any, pointer: str, message: str
) -> None:
    found = refused(read, changed(place, value))
    assert found[0][0] == pointer and message in found[0][1]


def test_all_that_the_file_says_besides_is_kept_whole(read: Read) -> None:
    document = changed("/licenses", [{"id": 1, "name": "CC0", "url": "u"}])
    document["categories"][0] |= {"keypoints": ["a", "b"], "skeleton": [[1, 2]]}
    coco = read(document)
    assert coco.rest() == {name: document[name] for name in ("info", "categories", "licenses")}
    assert coco.images[0].fields() == {"id": 5, "license": 1} and coco.images[0].stated == (80, 100)


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
        (b'{"images": [NaN], "annotations": [], "categories": []}', "/images/0: must be an object, got null"),
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
    document["annotations"][2]["image_id"] = "x"
    document["images"][2]["file_name"] = ""
    found = faults(read, document)
    assert [path for path, _ in found] == ["/images/2/file_name", "/annotations/0/bbox/2", "/annotations/2/image_id"]
    document["annotations"] = [{"id": "x"}] * 2000
    assert len(refused(read, document)) == 50


def test_faults_deep_in_a_long_file_keep_their_pointers(read: Read) -> None:
    document = copy.deepcopy(GOOD)
    row = document["annotations"][0]
    document["annotations"] = [{**row, "id": number + 1} for number in range(2000)]
    document["annotations"][1999]["id"] = 700
    document["annotations"][1500]["image_id"] = 4
    document["annotations"][1300]["segmentation"] = {"size": [10, 10], "counts": "5"}
    assert [path for path, _ in faults(read, document)] == [
        "/annotations/1999/id", "/annotations/1500/image_id", "/annotations/1300/segmentation"
    ]  # fmt: skip
    assert len(kept(read(document))) == 1999


def test_a_segmentation_that_cannot_be_read_is_told_where_masks_matter(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(changed("/annotations/3/segmentation/counts", [5, 10])))
    with_masks, boxes = read_coco(path), read_coco(path, masks=False)
    assert kept(with_masks) == kept(boxes) == [11, 13, 10, 12]
    broken = [one.id for _, own in with_masks.by_image() for one in own if one.broken_mask]
    assert broken == [13] and not boxes.notes


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
                assert np.isfinite(annotation.corners()).all()
                json.dumps([annotation.fields(), image.fields()], allow_nan=False).encode()
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


def test_half_a_surrogate_pair_is_told_and_replaced(read: Read) -> None:
    document = changed("/annotations/0/note", "half \ud800, whole \U0001f600, low \udc00, text \\ud800")
    coco = read(document)
    (one,) = (annotation for _, own in coco.by_image() for annotation in own if annotation.id == 10)
    assert one.extra["note"] == "half \ufffd, whole \U0001f600, low \ufffd, text \\ud800"
    assert "surrogate" in coco.notes[0]
