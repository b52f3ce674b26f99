"""A folder of 300 files with every oddity: each is a row, or is counted with the reason why not."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from autolabel.images import SUFFIXES
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

SIZE = (48, 36)
FILES = 300
Save = Callable[[Path], object]


def photo() -> Image.Image:
    """Return a grey photo with a red square, as the example labeler marks what it sees."""
    from autolabel_colors import Rectangle, save

    folder = Path(os.environ["PYTEST_ODDITIES"])
    save(folder / "made.png", [Rectangle(4, 4, 20, 20, "red", 0.9)], size=SIZE)
    with Image.open(folder / "made.png") as image:
        return image.convert("RGB")


def write_tiff(path: Path, values: Any) -> None:
    tifffile.imwrite(path, values, photometric="rgb" if values.ndim == 3 else "minisblack")


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Counter[str]]:
    """Fill a folder; return it with how many files are rows, how many fail, how many are passed over, by reason."""
    (tmp_path / "made").mkdir()
    monkeypatch.setenv("PYTEST_ODDITIES", str(tmp_path / "made"))
    root, base, wanted = tmp_path / "photos", photo(), Counter[str]()

    def put(name: str, save: Save, kind: str = "row") -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path)
        wanted[kind] += 1

    def as_format(name: str, **options: Any) -> Save:
        return lambda path: base.save(path, name, **options)

    grey = np.asarray(base.convert("L"))
    arrays = {
        "u16": grey.astype(np.uint16) * 257, "u12": grey.astype(np.uint16) * 16, "f32": grey / np.float32(255),
        "f64": grey / 255.0, "i32": grey.astype(np.int32), "rgbf": np.asarray(base) / np.float32(255),
    }  # fmt: skip
    for name, values in arrays.items():
        put(f"tiff/{name}.tif", lambda path, values=values: write_tiff(path, values))  # type: ignore[misc]
    for orientation in range(1, 9):
        for suffix, name in (("jpg", "JPEG"), ("tif", "TIFF"), ("webp", "WEBP")):
            put(f"exif/{orientation}.{suffix}", as_format(name, exif=turned(orientation)))
    for name in ("a.JPG", "b.jpeg", "c.jfif", "Ünïcode 日本.jpg", "with space.jpe", "-dash.jpg", "%s.jpg"):
        put(f"names/{name}", as_format("JPEG"))
    put("d.mpo", as_format("MPO", save_all=True, append_images=[base]))
    put("e.ppm", as_format("PPM"))
    put("f.jp2", as_format("JPEG2000"))
    put("no_ending", as_format("JPEG"))
    put("pages.tif", as_format("TIFF", save_all=True, append_images=[base, base]))
    put("frames.gif", as_format("GIF", save_all=True, append_images=[base.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]))
    put(
        "phone.HEIC",
        lambda path: path.write_bytes(b"\0\0\0\x1cftypheic"),
        "failed" if ".heic" in SUFFIXES else "format",
    )
    put("cut.jpg", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0 cut"), "failed")
    put("page.png", lambda path: path.write_bytes(b"<html>"), "failed")
    put("empty.png", lambda path: path.write_bytes(b""), "failed")
    put(os.fsdecode(b"bad\xff.jpg"), as_format("JPEG"), "failed")
    (tmp_path / "outside.jpg").write_bytes(b"")
    put("leaves.jpg", lambda path: path.symlink_to(tmp_path / "outside.jpg"), "failed")
    put("dangling.jpg", lambda path: path.symlink_to(root / "nowhere.jpg"), "failed")
    for name in ("x.cr2", "x.NEF", "x.svg", "x.psd", "x.jxl", "x.dcm"):
        put(f"formats/{name}", lambda path: path.write_bytes(b"x"), "format")
    for index in range(20):
        put(f"texts/{index}.txt", lambda path: path.write_text("0 1 2 3 4"), "extension")
    put("made.jpg.bak", as_format("JPEG"), "extension")
    for name in ("._a.jpg", ".hidden.png", ".Trash-1000/files/a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg", ".git/x"):
        put(name, as_format("JPEG"), "hidden")
    for name in (
        "__MACOSX/._a.jpg",
        "__MACOSX/a.jpg",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "x/Thumbs.db",
        "$RECYCLE.BIN/a.jpg",
    ):
        put(name, as_format("JPEG"), "system folder")
    for name in ("plan.json", "inputs.jsonl", "labels.jsonl", "images_annotated/a.jpg", "yolo/images/train/a.jpg"):
        put(f"runs/before/{name}", as_format("JPEG"), "results of a run")
    with Image.open(tmp_path / "made" / "made.png") as image:
        image.load()
    while (index := sum(wanted.values())) < FILES:
        put(f"many/{index % 7}/{index}.png", lambda path: shutil.copy(tmp_path / "made" / "made.png", path))
    return root, wanted


def files_below(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def test_counts_by_reason_add_up_to_the_number_of_files(registry: Registry, odd: tuple[Path, Counter[str]]) -> None:
    root, wanted = odd
    assert files_below(root) == sum(wanted.values()) == FILES
    spec = make_spec(
        root,
        root / "runs" / "mine",
        visualize=True,
        run={"max_failures": 0.5},
        export=[{"type": "coco"}, {"type": "yolo"}],
    )
    plan = compile_plan(spec_from_mapping(spec, root=root, registry=registry), registry=registry).plan
    passed = plan.manifest.passed_over
    assert passed == {kind: count for kind, count in wanted.items() if kind not in ("row", "failed")}
    assert plan.manifest.rows == wanted["row"] + wanted["failed"]
    assert plan.manifest.rows + sum(passed.values()) == FILES
    assert any("images of a format that is not read" in notice for notice in plan.notices)
    assert any("3 files with several pages or frames" in notice for notice in plan.notices)
    compiled = compile_plan(spec_from_mapping(spec, root=root, registry=registry), registry=registry)
    summary = generate(compiled, registry=registry)
    assert summary.states["failed"] == wanted["failed"]
    assert summary.rows == plan.manifest.rows
    rows = list(read_labels(root / "runs" / "mine"))
    assert len({row.image.id for row in rows}) == len(rows) == plan.manifest.rows
    upright = {row.image.id: row.image.size for row in rows if row.image.id.startswith("exif/")}
    assert upright == {
        f"exif/{number}.{suffix}": SIZE[::-1] if number > 4 else SIZE
        for number in range(1, 9)
        for suffix in ("jpg", "tif", "webp")
    }
    noted = {row.image.id for row in rows if any("pages or frames" in note for note in row.notes)}
    assert noted == {"pages.tif", "frames.gif", "d.mpo"}
    listed = json.loads((root / "runs" / "mine" / "coco" / "annotations.json").read_text())["images"]
    assert all((root / image["file_name"]).is_file() for image in listed)
    again = compile_plan(spec_from_mapping(spec, root=root, registry=registry), registry=registry).plan
    assert again.digest == plan.digest, "a run's own results are never its inputs"
    assert again.manifest.rows + sum(again.manifest.passed_over.values()) == files_below(root)
