"""File names out of data never lead outside their folder."""

from __future__ import annotations

import pytest

from autolabel.safe_names import path_fault

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
def test_unfit_names_have_a_fault(name: str) -> None:
    assert path_fault(name)


@pytest.mark.parametrize("name", FIT)
def test_fit_names_have_none(name: str) -> None:
    assert path_fault(name) == ""
