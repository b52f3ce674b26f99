"""Masks that need no learning: the full box, the ellipse inscribed in it, GrabCut."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from autolabel_mal.learning.mask_probes import Mask, MaskProbe

GRABCUT_STEPS = 5
GRABCUT_PIXELS = 2
"""Sides of a box below which GrabCut has nothing to work with."""


def full_boxes(asked: Sequence[MaskProbe]) -> list[Mask]:
    """Return the boxes themselves."""
    return [_box(exam) for exam in asked]


def ellipses(asked: Sequence[MaskProbe]) -> list[Mask]:
    """Return the ellipses that touch the sides of the boxes."""
    return [_ellipse(exam) for exam in asked]


def _box(exam: MaskProbe) -> Mask:
    rows, columns = exam.centres()
    return np.outer(np.abs(rows) <= 1, np.abs(columns) <= 1)


def _ellipse(exam: MaskProbe) -> Mask:
    rows, columns = exam.centres()
    inside: Mask = np.add.outer(rows**2, columns**2) <= 1
    return inside


def has_grabcut() -> bool:
    """Return whether OpenCV, whose GrabCut is used, is installed."""
    return find_spec("cv2") is not None


def grabcuts(asked: Sequence[MaskProbe]) -> list[Mask]:
    """Return OpenCV's GrabCut begun at the boxes; the full box where it finds nothing or the box fills the window."""
    return [_grabcut(exam) for exam in asked]


def _grabcut(exam: MaskProbe) -> Mask:
    import cv2  # type: ignore[import-not-found,unused-ignore]

    box = _box(exam)
    if box.all() or min(box.any(0).sum(), box.any(1).sum()) <= GRABCUT_PIXELS:
        return box
    cv2.setRNGSeed(0)
    marks = np.where(box, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    pixels = np.ascontiguousarray(exam.cut(exam.picture.pixels())[:, :, ::-1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, marks, None, *models, GRABCUT_STEPS, cv2.GC_INIT_WITH_MASK)
    found: Mask = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)) & box
    return found if found.any() else box
