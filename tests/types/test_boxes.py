"""Geometry of boxes, by hand."""

from __future__ import annotations

import numpy as np

from autolabel.types.boxes import areas, clip, iou, paired_iou, to_xywh

BOXES = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 25], [4, 4, 4, 9]], np.float32)


def test_areas() -> None:
    assert areas(BOXES).tolist() == [100, 100, 50, 0]
    assert areas(np.array([[5, 5, 1, 1]], np.float32)).tolist() == [0]
    assert areas(np.zeros((0, 4), np.float32)).shape == (0,)


def test_iou_of_all_pairs() -> None:
    found = iou(BOXES, BOXES[:2])
    assert found.dtype == np.float64
    assert found.tolist() == [[1, 50 / 150], [50 / 150, 1], [0, 0], [0, 0]]
    assert iou(BOXES[3:], BOXES[3:]).tolist() == [[0]]
    assert iou(BOXES, np.zeros((0, 4), np.float32)).shape == (4, 0)


def test_paired_iou_goes_row_by_row() -> None:
    assert paired_iou(BOXES[:3], BOXES[[0, 0, 1]]).tolist() == [1, 50 / 150, 0]


def test_clip_collapses_what_lies_outside() -> None:
    boxes = np.array([[-5, -5, 50, 50], [1, 2, 3, 4], [60, 1, 70, 2]], np.float64)
    clipped = clip(boxes, (20, 40))
    assert clipped.dtype == np.float32
    assert clipped.tolist() == [[0, 0, 40, 20], [1, 2, 3, 4], [40, 1, 40, 2]]


def test_conventions_convert_both_ways() -> None:
    assert to_xywh(BOXES[1:3]).tolist() == [[5, 0, 10, 10], [20, 20, 10, 5]]
    corners = to_xywh(BOXES)
    assert np.array_equal(corners[:, :2] + corners[:, 2:], BOXES[:, 2:])
    assert to_xywh(BOXES).dtype == np.float32
