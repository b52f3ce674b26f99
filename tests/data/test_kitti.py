"""Given boxes from a folder of KITTI labels: what is read, what is left out, which image is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.data.coco.read import CocoBoxes
from autolabel.data.kitti import read_kitti
from autolabel.errors import DataError

REST = "0 0 0 0 0 0 0"
GOOD = f"Car 0.00 0 -1.57 1.5 2 30.25 40 {REST}"


def written(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write label files into a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def boxes(read: CocoBoxes) -> dict[str, list[tuple[str, list[float]]]]:
    """Return the type and the corners of each object, by image."""
    return {
        image.file_name: [(read.categories[one.category_id], one.corners().tolist()) for one in found]
        for image, found in read.by_image()
    }


def test_types_and_boxes(tmp_path: Path) -> None:
    lines = [GOOD, "", f"  Truck 0 0 0 0 0 9 9 {REST}", "Car 0 0 0 5 5 6 6", f"DontCare -1 -1 -10 1 1 2 2 {REST}"]
    folder = written(tmp_path, {"a.txt": "\r\n".join(lines), "b.txt": "", "sub/c.txt": "\ufeff" + GOOD})
    read = read_kitti(folder, ["a.png", "b.jpg", "sub/c.png", "d.png"])
    car = ("Car", [1.5, 2.0, 30.25, 40.0])
    assert boxes(read) == {
        "a.png": [car, ("Truck", [0.0, 0.0, 9.0, 9.0]), ("Car", [5.0, 5.0, 6.0, 6.0])],
        "b.jpg": [],
        "sub/c.png": [car],
    }
    assert list(read.categories.values()) == ["Car", "Truck"]
    assert read.notes == []


@pytest.mark.parametrize(("score", "kept"), [("0.5", 0.5), ("0", 0.0), ("1", 1.0), ("7.3", 1.0), ("nan", 1.0)])
def test_a_16th_field_is_a_score_if_it_can_be_one(tmp_path: Path, score: str, kept: float) -> None:
    read = read_kitti(written(tmp_path, {"a.txt": f"{GOOD} {score}"}), ["a.png"])
    [(_, [one])] = list(read.by_image())
    assert one.score() == (kept, "")


@pytest.mark.parametrize(
    "line",
    ["Car", "Car 0 0 0 1 2 3", "0 0.5 0.5 0.1 0.1", "Car 0 0 0 1 2 x 4", "Car 0 0 0 1 2 nan 4", "Car 0 0 0 1 2 inf 4"],
)
def test_wrong_line_is_left_out_and_named(tmp_path: Path, line: str) -> None:
    read = read_kitti(written(tmp_path, {"a.txt": f"{GOOD}\n{line}\n"}), ["a.png"])
    assert len(boxes(read)["a.png"]) == 1
    [note] = read.notes
    assert f"1 entry of {tmp_path} is left out: a.txt:2: wanted a type and at least 7 more fields" in note


def test_reversed_box_is_left_out_as_in_coco(tmp_path: Path) -> None:
    read = read_kitti(written(tmp_path, {"a.txt": f"{GOOD}\nCar 0 0 0 30 2 10 9\n"}), ["a.png"])
    assert len(boxes(read)["a.png"]) == 1
    assert len(read.notes) == 1


def test_wrong_file_is_left_out_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(GOOD)
    folder = written(tmp_path / "labels", {"a.txt": GOOD, "b.txt": b"Car \xff 0", "README.txt": "Made by us.\n"})
    (folder / "c.txt").symlink_to(tmp_path / "secret")
    read = read_kitti(folder, ["a.png", "b.png", "c.png"])
    assert {name: len(found) for name, found in boxes(read).items()} == {"a.png": 1, "b.png": 0, "c.png": 0}
    told = " ".join(read.notes)
    assert "b.txt: is not UTF-8 text" in told and "c.txt" in told


def test_label_without_an_image_keeps_its_name(tmp_path: Path) -> None:
    read = read_kitti(written(tmp_path, {"a.txt": GOOD, "b.txt": GOOD}), ["a.png", "a.jpg"])
    assert list(boxes(read)) == ["a", "b"]


@pytest.mark.parametrize("files", [{}, {"a.txt": ""}, {"a.txt": "0 0.5 0.5 0.1 0.1\n"}, {"a.json": GOOD}])
def test_folder_without_labels_is_refused(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    with pytest.raises(DataError, match=r"a\.txt:1: wanted a type|no file in it holds KITTI labels"):
        read_kitti(written(tmp_path, files), ["a.png"])


def test_folder_at_a_url() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    store = MemoryFileSystem()
    store.pipe({"/kitti-labels/a.txt": GOOD.encode(), "/kitti-labels/sub/b.txt": GOOD.encode()})
    read = read_kitti("memory://kitti-labels", ["a.png", "sub/b.png"])
    assert {name: len(found) for name, found in boxes(read).items()} == {"a.png": 1, "sub/b.png": 1}


def test_labels_of_our_own_exporter_come_back(tmp_path: Path) -> None:
    from autolabel.types import Image, Instances, Labels, Prompt
    from autolabel_exporters.kitti import Kitti

    found = Instances.build([(1, 2, 30, 40)], scores=[0.25], labels=[0])
    row = Labels(image=Image(id="a.png", path="", size=(48, 64)), prompt=Prompt(("car",)), instances=found)
    Kitti(Kitti.Params(scores=True)).export([row], ("car",), tmp_path)
    read = read_kitti(tmp_path / "label_2", ["a.png"])
    assert boxes(read) == {"a.png": [("car", [1.0, 2.0, 30.0, 40.0])]}
    [(_, [one])] = list(read.by_image())
    assert one.score() == (0.25, "")
