"""The contract of a look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.strategies import Look
from autolabel.testing.subject import Subject
from autolabel.types import Size

_SIZES: tuple[Size, ...] = ((48, 64), (33, 97), (64, 48), (1, 1))
_MARKS = 12
"""The number of rectangles traced through a look, in an image of each size."""
_MARK = 255


def check_look(strategy: type[Look], params: Mapping[str, Any]) -> None:
    """Check a look on images of several sizes: its output has the stated shape, and its inverses are exact.

    Rectangles, down to one pixel, are drawn into black images. If a look shows a rectangle, the box and the mask of its
    pixels must be mapped back to the same rectangle exactly.
    """
    subject = Subject(strategy, params)
    subject.check(Look)
    look = subject.make()
    for number, size in enumerate(_SIZES):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        _check_shape(subject, look, pixels)
        for rectangle in _rectangles(size, number):
            _check_inverses(subject, look, size, rectangle)


def _check_shape(subject: Subject[Look], look: Look, pixels: npt.NDArray[np.uint8]) -> None:
    """Check the output for one image."""
    before, size = pixels.copy(), (pixels.shape[0], pixels.shape[1])
    seen = look.apply(pixels)
    wanted = (*look.shape(size), 3)
    said = f"`apply` must give {wanted} uint8 for an image of {size}, as `shape` says, found {seen.shape} {seen.dtype}"
    subject.require(seen.shape == wanted and seen.dtype == np.uint8, said)
    subject.require((pixels == before).all(), "`apply` may not change the pixels that are passed in")
    subject.require((look.apply(pixels) == seen).all(), "`apply` must show the same pixels in the same way")
    none = look.restore_boxes(np.zeros((0, 4), np.float32), size)
    subject.require(none.shape == (0, 4), f"`restore_boxes` of no boxes must give shape (0, 4), found {none.shape}")


def _rectangles(size: Size, seed: int) -> list[tuple[int, int, int, int]]:
    """Return rectangles ``x1 y1 x2 y2``: the whole image, a pixel in each corner, and random ones."""
    height, width = size
    corners = [(x, y, x + 1, y + 1) for x in (0, width - 1) for y in (0, height - 1)]
    random = np.random.default_rng(seed)
    xs, ys = random.integers(0, width, (_MARKS, 2)), random.integers(0, height, (_MARKS, 2))
    some = [(min(x), min(y), max(x) + 1, max(y) + 1) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]
    return [(0, 0, width, height), *corners, *some]


def _check_inverses(subject: Subject[Look], look: Look, size: Size, rectangle: tuple[int, int, int, int]) -> None:
    """Check that one rectangle is mapped back exactly."""
    x1, y1, x2, y2 = rectangle
    mask: npt.NDArray[np.bool_] = np.zeros(size, np.bool_)
    mask[y1:y2, x1:x2] = True
    drawn = np.zeros((*size, 3), np.uint8)
    drawn[mask] = _MARK
    shown = (look.apply(drawn) != look.apply(np.zeros_like(drawn))).any(axis=2)
    subject.require(shown.any(), f"`apply` must show all of an image, but a rectangle at {rectangle} of {size} is lost")
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    back = look.restore_boxes(box, size)
    where = f"the rectangle {rectangle} of an image of {size}"
    subject.require(back.tolist() == [list(map(float, rectangle))], f"`restore_boxes` makes {back.tolist()} of {where}")
    restored = look.restore_mask(shown, size)
    subject.require(restored.shape == size, f"`restore_mask` must give {size}, found {restored.shape}")
    subject.require((restored == mask).all(), f"`restore_mask` must give back {where} to the pixel")
