"""Masks that need no learning: the full box, the ellipse inscribed in it, GrabCut."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from .exams import Exam, Mask

GRABCUT_STEPS = 5
GRABCUT_PIXELS = 2
"""Sides of a box below which GrabCut has nothing to work with."""


def full_boxes(asked: Sequence[Exam]) -> list[Mask]:
    """Return the boxes themselves."""
    return [exam.box for exam in asked]


def ellipses(asked: Sequence[Exam]) -> list[Mask]:
    """Return the ellipses that touch the sides of the boxes."""
    return [_ellipse(exam.box) for exam in asked]


def _ellipse(box: Mask) -> Mask:
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    vertical = (np.arange(box.shape[0]) - rows.mean()) / (len(rows) / 2)
    horizontal = (np.arange(box.shape[1]) - columns.mean()) / (len(columns) / 2)
    found: Mask = vertical[:, None] ** 2 + horizontal[None, :] ** 2 <= 1
    return found & box


def has_grabcut() -> bool:
    """Return whether OpenCV, whose GrabCut is used, is installed."""
    return find_spec("cv2") is not None


def grabcuts(asked: Sequence[Exam]) -> list[Mask]:
    """Return OpenCV's GrabCut begun at the boxes; the full box where it finds nothing or the box fills the window."""
    return [_grabcut(exam) for exam in asked]


def _grabcut(exam: Exam) -> Mask:
    import cv2

    rows, columns = np.flatnonzero(exam.box.any(1)), np.flatnonzero(exam.box.any(0))
    if exam.box.all() or min(len(rows), len(columns)) <= GRABCUT_PIXELS:
        return exam.box
    cv2.setRNGSeed(0)
    marks = np.where(exam.box, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    pixels = np.ascontiguousarray(exam.cut(exam.picture.pixels())[:, :, ::-1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, marks, None, *models, GRABCUT_STEPS, cv2.GC_INIT_WITH_MASK)
    found: Mask = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)) & exam.box
    return found if found.any() else exam.box
