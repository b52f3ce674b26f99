"""Polygons along pixel edges give their mask back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from autolabel.types.polygons import Points, keyhole, parts, single_ring

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def filled(rings: list[Points], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Fill by the even-odd rule at pixel centres, straight from its definition."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    inside = np.zeros(size, bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y0 != y1:
                crossing = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
                inside ^= ((y0 > rows) != (y1 > rows)) & (columns < crossing)
    return inside


def by_pycocotools(rings: list[Points], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    flat = [ring.reshape(-1).astype(float).tolist() for ring in rings]
    return np.asarray(coco.decode(coco.merge(coco.frPyObjects(flat, *size))).astype(bool))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans()))
@settings(max_examples=300, deadline=None)
def test_any_mask_comes_back(mask: npt.NDArray[np.bool_]) -> None:
    found = parts(mask)
    rings = [ring for part in found for ring in (part.outer, *part.holes)]
    assert np.array_equal(filled(rings, mask.shape), mask)
    assert np.array_equal(filled([keyhole(part) for part in found], mask.shape), mask)
    assert np.array_equal(filled([single_ring(found)], mask.shape), mask)


@given(arrays(bool, (12, 15), elements=st.booleans()))
@settings(max_examples=100, deadline=None)
def test_pycocotools_fills_keyholes_alike(mask: npt.NDArray[np.bool_]) -> None:
    found = parts(mask)
    if found:
        assert np.array_equal(by_pycocotools([keyhole(part) for part in found], mask.shape), mask)


def test_a_hole_belongs_to_the_part_around_it() -> None:
    mask = np.zeros((60, 80), bool)
    mask[30:50, 10:40] = mask[5:15, 40:50] = mask[8:12, 60:70] = True
    mask[36:42, 20:30] = False
    mask[38:40, 23:27] = True
    found = parts(mask)
    assert [len(part.holes) for part in found] == [0, 0, 1, 0]
    assert found[2].outer.tolist() == [[10, 30], [40, 30], [40, 50], [10, 50]]
    assert found[2].holes[0].tolist() == [[20, 36], [30, 36], [30, 42], [20, 42]]


def test_corners_that_touch_are_two_parts() -> None:
    assert len(parts(np.eye(3, dtype=bool))) == 3
    assert len(parts(np.eye(3, dtype=bool)[::-1])) == 3


def test_no_mask_no_polygon() -> None:
    assert parts(np.zeros((4, 5), bool)) == []
    assert single_ring([]).shape == (0, 2)
