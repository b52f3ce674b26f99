"""File names out of data never lead outside their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autolabel.errors import DataError
from autolabel.safe_names import fault_of, safe_join

UNFIT = [
    "../x.jpg", "a/../../x.jpg", "..", "a/b/../../..", "/etc/passwd", "//host/x", "~/x", "C:\\x.jpg", "c:/x.jpg",
    "..\\x.jpg", "a\\b.jpg", "a\0.jpg", "", ".", "./", " ", "././.", "a/./../../b",
    "./../x",
]  # fmt: skip
FIT = [
    "x.jpg", "a/b.jpg", "a/../b.jpg", "./x.jpg", "a//b.jpg", "..x.jpg", "x..jpg", "...", "-x.jpg", "é.jpg", "图/片.png",
    "a b.jpg", "%2e%2e/x.jpg", "ab:c.jpg", "x.jpg ", "'\".jpg", "a/.../b.jpg", "a\n.jpg",
    "a\x1b[31m.jpg", "\x7f",
]  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_unfit_names_are_refused_by_name(name: str, tmp_path: Path) -> None:
    assert fault_of(name)
    with pytest.raises(DataError) as caught:
        safe_join(tmp_path, name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", FIT)
def test_fit_names_stay_below_the_root(name: str, tmp_path: Path) -> None:
    assert fault_of(name) == ""
    assert safe_join(tmp_path, name).is_relative_to(tmp_path.resolve())


def test_links_that_leave_are_refused_and_those_that_stay_are_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "outer").mkdir()
    (root / "out").symlink_to(tmp_path / "outer")
    (root / "in").symlink_to(root / "inner")
    os.symlink(root / "loop", root / "loop")  # noqa: PTH211
    assert safe_join(root, "in/x.jpg") == root.resolve() / "inner/x.jpg"
    with pytest.raises(DataError, match="through a link"):
        safe_join(root, "out/x.jpg")
    with pytest.raises(DataError, match="cannot be resolved"):
        safe_join(root, "loop/x.jpg")
