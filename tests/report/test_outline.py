"""Outlines look like their masks."""

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autolabel.report.outline import bounds_of, loops, path_outline
from autolabel.types import Rle
from autolabel.types.runs import expand

Bool = npt.NDArray[np.bool_]


def corners_of(path: str) -> list[npt.NDArray[np.float64]]:
    """Read a path back: the absolute corners of every loop."""
    out = []
    for x, y, moves in re.findall(r"M(\S+) (\S+?)l([^zM]*)z", path):
        steps = np.asarray(moves.split(), float).reshape(-1, 2)
        out.append(np.cumsum(np.concatenate([[[float(x), float(y)]], steps]), axis=0))
    return out


def filled(path: str, size: tuple[int, int]) -> Bool:
    """Fill a path by the even-odd rule, at the centres of pixels."""
    ys, xs = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    inside = np.zeros(size, bool)
    for loop in corners_of(path):
        for (x1, y1), (x2, y2) in zip(loop, np.roll(loop, -1, axis=0), strict=True):
            if y1 != y2:
                crosses = (y1 > ys) != (y2 > ys)
                inside ^= crosses & (xs < (x2 - x1) * (ys - y1) / (y2 - y1) + x1)
    return inside


def overlap(first: Bool, second: Bool) -> float:
    return float((first & second).sum() / (first | second).sum())


def disc(size: tuple[int, int], radius: float) -> Bool:
    ys, xs = np.mgrid[0 : size[0], 0 : size[1]]
    return (ys - size[0] / 2) ** 2 + (xs - size[1] / 2) ** 2 <= radius**2


@pytest.mark.parametrize(
    ("size", "radius", "least"), [((60, 80), 20, 0.97), ((400, 600), 180, 0.97), ((30, 30), 3, 0.8)]
)
def test_outline_of_a_disc_covers_it(size: tuple[int, int], radius: float, least: float) -> None:
    mask = disc(size, radius)
    path = path_outline(Rle.encode(mask))
    assert overlap(filled(path, size), mask) > least
    assert len(path) < 800


def test_holes_and_parts_are_kept() -> None:
    mask = disc((100, 100), 40) & ~disc((100, 100), 20)
    mask[:8, :8] = True
    path = path_outline(Rle.encode(mask))
    assert len(corners_of(path)) == 3
    assert overlap(filled(path, (100, 100)), mask) > 0.93


def test_an_empty_mask_has_no_outline() -> None:
    assert path_outline(Rle.encode(np.zeros((5, 7), bool))) == ""


def test_a_full_mask_is_the_image() -> None:
    assert filled(path_outline(Rle.encode(np.ones((50, 70), bool))), (50, 70)).mean() > 0.96


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=60)
def test_bounds_are_those_of_the_pixels(mask: Bool) -> None:
    bounds = bounds_of(expand(Rle.encode(mask).counts), mask.shape[0])
    ys, xs = np.nonzero(mask)
    if not len(xs):
        assert bounds is None
        return
    assert bounds is not None
    left, top, right, bottom = bounds
    assert (left, right) == (xs.min(), xs.max() + 1)
    assert top <= ys.min() and bottom >= ys.max() + 1


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=60)
def test_borders_enclose_exactly_the_cells(mask: Bool) -> None:
    ys, xs = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]] + 0.5
    inside = np.zeros(mask.shape, bool)
    for loop in loops(mask):
        for (x1, y1), (x2, y2) in zip(loop, np.roll(loop, -1, axis=0), strict=True):
            assert abs(x1 - x2) + abs(y1 - y2) == 1
            inside ^= ((y1 > ys) != (y2 > ys)) & (xs < x1)
    assert (inside == mask).all()


def test_a_huge_mask_costs_no_more() -> None:
    size = (20_000, 30_000)
    counts = Rle.from_crop(np.ones((9_000, 50), bool), left=20_000, top=500, size=size)
    path = path_outline(counts)
    assert len(path) < 300
    (loop,) = corners_of(path)
    assert loop[:, 0].min() >= 20_000 and loop[:, 1].max() <= 9_700
