"""A thousand messy inputs: every one is accounted for, once."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.results.summary import Summary
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

ROWS = 1000
SIZE = (24, 32)
BOX = (2, 3, 12, 15)
ODD = ["ü ö.png", "new\nline.png", "日本 語.png", "-dash.png", "é.png", "e\u0301.png", "\u202eright.png", "%s.png"]
UPRIGHT = {3: (20, 9, 30, 21), 5: (3, 2, 15, 12), 6: (9, 2, 21, 12), 8: (3, 20, 15, 30)}
"""Where the box of a picture that is stored with this EXIF orientation lies once it is upright."""


def draw(path: Path, *, orientation: int = 1) -> Path:
    from autolabel_colors import Rectangle, canvas

    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(canvas([Rectangle(*BOX, "red")], size=SIZE)).save(path, exif=exif)
    return path


def corrupt(folder: Path) -> dict[str, str]:
    """Write five files that are no whole image; return their codes."""
    whole = draw(folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    (folder / "cut.png").write_bytes(whole[:-20])
    (folder / "garbled.png").write_bytes(whole[:-40] + b"\0" * 20 + whole[-20:])
    (folder / "page.jpg").write_bytes(b"<html>404</html>")
    (folder / "nothing.jpg").write_bytes(b"")
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + whole[24:29]
    (folder / "huge.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    unknown = "unsupported_format"
    return {
        "cut.png": "corrupt_image",
        "garbled.png": "corrupt_image",
        "page.jpg": unknown,
        "nothing.jpg": unknown,
        "huge.png": "too_large",
    }


@pytest.fixture(scope="module")
def inputs(example_path: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Write the photos and a file of captions that names each; return the folder and the codes of what must fail."""
    folder = tmp_path_factory.mktemp("thousand")
    photos = folder / "photos"
    photos.mkdir()
    failing = corrupt(photos)
    os.symlink("loop.png", photos / "loop.png")  # noqa: PTH211
    os.symlink(".", photos / "again")  # noqa: PTH211
    os.mkfifo(photos / "pipe.png")
    (photos / os.fsdecode(b"bad\xff.png")).symlink_to("page.jpg")
    failing |= {"loop.png": "unreadable", "pipe.png": "unreadable", "bad\\xff.png": "bad_name", "gone.png": "missing"}
    failing |= {"x.png": "ambiguous_name"}
    names = [*failing, *ODD, "a/x.png", "b/x.png", "c/x.png", *(f"exif-{number}.png" for number in UPRIGHT)]
    for name in [*ODD, "a/x.png", "b/x.png", "c/x.png"]:
        draw(photos / name)
    for number in UPRIGHT:
        draw(photos / f"exif-{number}.png", orientation=number)
    names += [f"empty/{index}.png" for index in range(200)]
    names += [f"more/{index}.png" for index in range(ROWS - len(names) - 1)]
    for name in names:
        if name.startswith(("empty", "more")):
            (photos / name).parent.mkdir(exist_ok=True)
            os.link(photos / "a/x.png", photos / name)
    lines = [(name, ["blue"] if name.startswith("empty") else ["red"]) for name in names] + [("a/x.png", ["green"])]
    text = (json.dumps({"file_name": name, "caption": name, "noun_chunks": asked}) + "\n" for name, asked in lines)
    (folder / "captions.jsonl").write_text("".join(text))
    return folder, failing


def label(registry: Registry, folder: Path, **run: Any) -> Summary:
    spec = make_spec(
        folder / "photos",
        folder / "run",
        data={"captions": str(folder / "captions.jsonl")},
        run={"num_workers": 2, **run},
    )
    loaded = spec_from_mapping(spec, root=folder, registry=registry)
    return generate(compile_plan(loaded, registry=registry), registry=registry)


def test_a_thousand_inputs_give_a_thousand_rows(registry: Registry, inputs: tuple[Path, dict[str, str]]) -> None:
    folder, failing = inputs
    summary = label(registry, folder, max_failures=len(failing))
    assert (summary.rows, summary.images) == (ROWS, ROWS - 1)
    assert dict(summary.states) == {"labelled": ROWS - 201 - len(failing), "empty": 201, "failed": len(failing)}
    assert not summary.too_many_failures
    assert label(registry, folder, max_failures=len(failing) - 1).too_many_failures
    rows = list(read_labels(folder / "run"))
    assert Counter((row.image.id, row.caption_index) for row in rows).most_common(1)[0][1] == 1
    reasons = {row.image.id: row.reason for row in rows if row.reason}
    assert {name: reason.code for name, reason in reasons.items()} == failing
    assert all(reason.message for reason in reasons.values())
    assert [row.caption_index for row in rows if row.image.id == "a/x.png"] == [0, 1]
    assert {row.image.id for row in rows if row.state == "labelled"} >= {*ODD, "a/x.png", "b/x.png", "c/x.png"}
    for number, box in UPRIGHT.items():
        [row] = [row for row in rows if row.image.id == f"exif-{number}.png"]
        assert row.instances.boxes.tolist() == [list(box)]


def test_a_listed_folder_with_loops_and_pipes_ends(registry: Registry, inputs: tuple[Path, dict[str, str]]) -> None:
    from autolabel.data.sources import sources, walk_files

    [source] = sources([str(inputs[0] / "photos")])
    found = [row.image for row, _ in walk_files(source)]
    assert len(found) == len(set(found)) == ROWS - 1 - len({"gone.png", "x.png"})
