"""Looks that move every pixel to another place of the image: none is lost, none is made up."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from autolabel.strategies import Look
from autolabel.types import Size

_Pixels = npt.NDArray[np.uint8]
_Boxes = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.bool_]


class Plain(Look):
    """The image as it is."""

    name = "plain"

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return the pixels."""
        return pixels


class Mirror(Look):
    """Left and right change places."""

    name = "mirror"

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return (H, W, 3) pixels with the columns in the opposite order."""
        return pixels[:, ::-1]

    def restore_boxes(self, boxes: _Boxes, size: Size) -> _Boxes:
        """Return (N, 4) boxes with their left and right edges changed over."""
        return _changed_over(boxes, axis=0, length=size[1])

    def restore_mask(self, mask: _Mask, size: Size) -> _Mask:
        """Return the mask with the columns in the opposite order."""
        return mask[:, ::-1]


class Flip(Look):
    """Top and bottom change places: for things without an upright side."""

    name = "flip"

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return (H, W, 3) pixels with the rows in the opposite order."""
        return pixels[::-1]

    def restore_boxes(self, boxes: _Boxes, size: Size) -> _Boxes:
        """Return (N, 4) boxes with their top and bottom edges changed over."""
        return _changed_over(boxes, axis=1, length=size[0])

    def restore_mask(self, mask: _Mask, size: Size) -> _Mask:
        """Return the mask with the rows in the opposite order."""
        return mask[::-1]


class Rotate(Look):
    """The image turned clockwise by a quarter, a half or three quarters: for things without an upright side."""

    name = "rotate"

    class Params(Look.Params):
        """The angle of the rotation."""

        degrees: Literal[90, 180, 270] = Field(description="how far the image is turned, clockwise")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.quarters = params.degrees // 90

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return (H, W, 3) pixels turned; a quarter gives (W, H, 3)."""
        return np.rot90(pixels, -self.quarters)

    def shape(self, size: Size) -> Size:
        """Return (height, width), changed over for a quarter and three quarters."""
        return (size[1], size[0]) if self.quarters % 2 else size

    def restore_boxes(self, boxes: _Boxes, size: Size) -> _Boxes:
        """Return (N, 4) boxes turned back."""
        if self.quarters % 2:
            boxes = boxes[:, [1, 0, 3, 2]]
        if self.quarters < 3:
            boxes = _changed_over(boxes, axis=1, length=size[0])
        if self.quarters > 1:
            boxes = _changed_over(boxes, axis=0, length=size[1])
        return boxes

    def restore_mask(self, mask: _Mask, size: Size) -> _Mask:
        """Return the mask turned back."""
        return np.rot90(mask, self.quarters)


def _changed_over(boxes: _Boxes, *, axis: int, length: int) -> _Boxes:
    """Return (N, 4) boxes mirrored along an axis (0: x, 1: y) of an image that is ``length`` pixels long there."""
    mirrored = boxes.copy()
    mirrored[:, axis] = length - boxes[:, axis + 2]
    mirrored[:, axis + 2] = length - boxes[:, axis]
    return mirrored
