"""Listing images: ids, links, loops, names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from autolabel.data.batches import batches
from autolabel.data.collect import _ListedImages, number
from autolabel.data.inputs import Input, decode_input, encode_input
from autolabel.data.skipped_files import PassedOver
from autolabel.data.sources import HIDDEN, RESULTS, SYSTEM_FOLDER, Results, inner, sources, walk_files
from autolabel.errors import DataError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def ids(root: Path, **options: Any) -> list[tuple[str, str]]:
    found = (one for source in sources([str(root)]) for one in walk_files(source, **options))
    return sorted((row.image, row.code) for row, reason in found if not reason)


def test_lists_images_in_subfolders_by_relative_path(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "b" / "a.JPG", tmp_path / "b" / "c" / "a.webp", tmp_path / "notes.txt")
    assert ids(tmp_path) == [("a.jpg", ""), ("b/a.JPG", ""), ("b/c/a.webp", "")]


def test_links_loops_and_links_that_leave(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    touch(inside / "a.jpg", outside / "secret.jpg")
    (inside / "loop").symlink_to(inside)
    (inside / "b.jpg").symlink_to(inside / "a.jpg")
    (inside / "leaves.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "dangling.jpg").symlink_to(inside / "nowhere.jpg")
    (inside / "itself.jpg").symlink_to(inside / "itself.jpg")
    assert ids(inside) == [
        ("a.jpg", ""), ("b.jpg", ""), ("dangling.jpg", ""), ("itself.jpg", ""), ("leaves.jpg", "outside_root")
    ]  # fmt: skip
    followed = ids(inside, follow_symlinks=True)
    assert ("folder/secret.jpg", "") in followed
    assert ("leaves.jpg", "") in followed


def test_odd_names_are_kept_and_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    names = ["ü ö.jpg", "-dash.jpg", "new\nline.jpg", "'quote\".jpg", "%s.jpg", "\u202eright.jpg", "日本.jpg"]
    names.append("a" * 250 + ".jpg")
    touch(*(tmp_path / name for name in names))
    (tmp_path / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"")
    found = dict(ids(tmp_path))
    assert dict.fromkeys(names, "").items() <= found.items()
    assert found["bad\\xff.jpg"] == "bad_name"
    assert len(found) == len(names) + 1


@pytest.mark.parametrize(
    "folders",
    [("x/photos", "y/photos"), ("photos", "photos-2"), ("a/b/c", "d"), ("train", "train/../val"), ("ä ö", "日本")],
)
def test_ids_of_several_roots_resolve_from_the_folder_they_share_in_any_order(
    tmp_path: Path, folders: tuple[str, str]
) -> None:
    roots = [str(tmp_path / "d" / folder) for folder in folders]
    touch(*(tmp_path / "d" / folder / "a.jpg" for folder in ("train", *folders)))
    ids = {
        order: {row.image: row.path for root in sources(list(order)) for row, _ in walk_files(root)}
        for order in (tuple(roots), tuple(reversed(roots)))
    }
    assert ids[tuple(roots)] == ids[tuple(reversed(roots))] and len(ids[tuple(roots)]) == 2
    for name, path in ids[tuple(roots)].items():
        assert (tmp_path / "d" / name).samefile(path)


def test_a_root_inside_another_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.jpg", tmp_path / "x" / "y" / "b.jpg")
    both = [str(tmp_path / "x" / "y"), str(tmp_path / "x")]
    assert sorted(row.image for root in sources(both) for row, _ in walk_files(root)) == ["a.jpg", "y/b.jpg"]
    assert inner(both) == [both[0]]


def test_every_file_is_an_input_or_is_told_why_not(tmp_path: Path) -> None:
    wanted = {
        "a.jpg": "", "b.JFIF": "", "c.mpo": "", "noext": "", "notes.txt": "extension", "a.jpg.bak": "extension",
        "text": "extension", "raw.CR2": "format", "drawing.svg": "format", "._a.jpg": HIDDEN, ".hidden/a.jpg": HIDDEN,
        ".Trash-1000/files/a.jpg": HIDDEN, "__MACOSX/._a.jpg": SYSTEM_FOLDER, "__MACOSX/a.jpg": SYSTEM_FOLDER,
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg": SYSTEM_FOLDER, "deep/Thumbs.db": SYSTEM_FOLDER,
        "runs/one/plan.json": RESULTS, "runs/one/inputs.jsonl": RESULTS, "runs/one/images_annotated/a.jpg": RESULTS,
        "mine/x.jpg": RESULTS, "plan.json": "extension", "deep/plan.json": "extension", "deep/a.jpg": "",
    }  # fmt: skip
    touch(*(tmp_path / name for name in wanted))
    (tmp_path / "noext").write_bytes(b"\xff\xd8\xff\xe0" + bytes(20))
    (source,) = sources([str(tmp_path)])
    found = {row.image: reason for row, reason in walk_files(source, results=Results(folder=tmp_path / "mine"))}
    assert found == wanted
    (tmp_path / "mine" / "x.jpg").unlink()
    own = Results(folder=tmp_path, names=frozenset({"deep"}))
    assert {row.image for row, reason in walk_files(source, results=own) if reason == RESULTS} >= {"deep/a.jpg"}


@pytest.mark.parametrize("names", [["none"], ["here", "here"], ["here", "here/../here"]])
def test_roots_that_are_missing_or_doubled_are_refused(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(DataError, match=r"no such folder|named twice"):
        sources([str(tmp_path / name) for name in names])


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("x/a.jpg", "x/a.jpg"),
        ("b.jpg", "x/b.jpg"),
        ("./b.jpg", "x/b.jpg"),
        ("/home/me/photos/x/b.jpg", "x/b.jpg"),
        ("C:\\photos\\x\\b.jpg", "x/b.jpg"),
        ("../x/a.jpg", "x/a.jpg"),
        ("a.jpg", "ambiguous_name"),
        ("c.jpg", "missing"),
        ("/etc/passwd", "missing"),
        ("../../etc/passwd", "missing"),
        ("a.jpg\0", "missing"),
        ("", "missing"),
    ],
)
def test_names_only_ever_find_listed_images(name: str, image: str) -> None:
    found = [
        Input(image="x/a.jpg", path="/1"),
        Input(image="y/a.jpg", path="/2"),
        Input(image="x/b.jpg", path="/3"),
    ]
    row = _ListedImages(found, [name], PassedOver()).row(name)
    assert image in (row.image, row.code)
    assert bool(row.path) == (not row.code)


def test_an_exact_id_beats_a_longer_path_that_ends_alike() -> None:
    found = [Input(image="a.jpg", path="/1"), Input(image="x/a.jpg", path="/2")]
    assert _ListedImages(found, ["a.jpg"], PassedOver()).row("a.jpg").path == "/1"


def test_a_name_that_differs_is_told_and_one_that_is_not_there_is_offered_the_nearest() -> None:
    listing = _ListedImages([Input(image="x/photo.jpg", path="/1")], ["1a2b3c4d-photo.jpg", "phoot.jpg"], PassedOver())
    assert listing.row("1a2b3c4d-photo.jpg").image == "x/photo.jpg"
    assert "another tool adds" in listing.row("1a2b3c4d-photo.jpg").notes[0]
    assert "nearest: x/photo.jpg" in listing.row("phoot.jpg").message


def test_a_file_that_is_passed_over_is_read_where_it_is_named_or_told_why_not() -> None:
    passed = PassedOver()
    all_found = [
        (Input(image="a.jpg", path="/1"), ""),
        (Input(image=".b.jpg", path="/2"), HIDDEN),
        (Input(image="c.CR2", path="/3"), "format"),
        (Input(image="r/d.jpg", path="/4"), RESULTS),
    ]
    listing = _ListedImages(passed.sift(all_found), [".b.jpg", "c.cr2", "d.jpg"], passed)
    assert listing.row(".b.jpg").path == "/2" and passed.counts[HIDDEN] == 0
    assert listing.row("c.cr2").code == "unsupported_format" and "develop it" in listing.row("c.cr2").message
    assert "results of a run" in listing.row("d.jpg").message
    assert passed.counts["not named"] == 1 and "1 image that no row names: a.jpg" in passed.notices()


def test_rows_of_one_image_are_numbered() -> None:
    rows = number([Input(image="a", path=""), Input(image="b", path=""), Input(image="a", path="")])
    assert [(row.image, row.caption_index) for row in rows] == [("a", 0), ("b", 0), ("a", 1)]


def test_rows_survive_their_line() -> None:
    row = Input(image="ü\n.jpg", path="/p", height=3, width=4, phrases=("a", "b"), caption="c", notes=("n",))
    assert decode_input(encode_input(row)) == replace(row, path="")
    assert b"\n" not in encode_input(row)


def test_chunks_keep_every_row() -> None:
    rows = [Input(image=str(i), path="") for i in range(10_000)]
    assert [row for chunk in batches(iter(rows), 4096) for row in chunk] == rows
