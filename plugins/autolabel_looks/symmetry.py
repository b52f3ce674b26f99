"""Looks that permute the pixels of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from pydantic import Field

from autolabel.strategies import Look
from autolabel.types import Size

if TYPE_CHECKING:
    import numpy.typing as npt

_Pixels: TypeAlias = "npt.NDArray[np.uint8]"
_Boxes: TypeAlias = "npt.NDArray[np.float32]"
_Mask: TypeAlias = "npt.NDArray[np.bool_]"


class Plain(Look):
    """The image as it is."""

    name = "plain"

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return the pixels."""
        return pixels


class Mirror(Look):
    """The image mirrored left to right."""

    name = "mirror"

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return (H, W, 3) pixels with the columns in the opposite order."""
        return pixels[:, ::-1]

    def restore_boxes(self, boxes: _Boxes, size: Size) -> _Boxes:
        """Return (N, 4) boxes mirrored back."""
        return _changed_over(boxes, axis=0, length=size[1])

    def restore_mask(self, mask: _Mask, size: Size) -> _Mask:
        """Return the mask with the columns in the opposite order."""
        return mask[:, ::-1]


class Flip(Look):
    """The image flipped top to bottom, for objects without a fixed upright side."""

    name = "flip"

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return (H, W, 3) pixels with the rows in the opposite order."""
        return pixels[::-1]

    def restore_boxes(self, boxes: _Boxes, size: Size) -> _Boxes:
        """Return (N, 4) boxes flipped back."""
        return _changed_over(boxes, axis=1, length=size[0])

    def restore_mask(self, mask: _Mask, size: Size) -> _Mask:
        """Return the mask with the rows in the opposite order."""
        return mask[::-1]


class Rotate(Look):
    """The image rotated clockwise by 90, 180 or 270 degrees, for objects without a fixed upright side."""

    name = "rotate"

    class Params(Look.Params):
        """The angle of the rotation."""

        degrees: Literal[90, 180, 270] = Field(description="how far the image is turned, clockwise")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.quarters = params.degrees // 90

    def apply(self, pixels: _Pixels) -> _Pixels:
        """Return rotated (H, W, 3) pixels; 90 and 270 degrees give (W, H, 3)."""
        return np.rot90(pixels, -self.quarters)

    def shape(self, size: Size) -> Size:
        """Return (height, width), swapped for 90 and 270 degrees."""
        return (size[1], size[0]) if self.quarters % 2 else size

    def restore_boxes(self, boxes: _Boxes, size: Size) -> _Boxes:
        """Return (N, 4) boxes rotated back."""
        if self.quarters % 2:
            boxes = boxes[:, [1, 0, 3, 2]]
        if self.quarters < 3:
            boxes = _changed_over(boxes, axis=1, length=size[0])
        if self.quarters > 1:
            boxes = _changed_over(boxes, axis=0, length=size[1])
        return boxes

    def restore_mask(self, mask: _Mask, size: Size) -> _Mask:
        """Return the mask rotated back."""
        return np.rot90(mask, self.quarters)


def _changed_over(boxes: _Boxes, *, axis: int, length: int) -> _Boxes:
    """Return (N, 4) boxes mirrored along an axis (0: x, 1: y) of an image that is ``length`` pixels long there."""
    mirrored = boxes.copy()
    mirrored[:, axis] = length - boxes[:, axis + 2]
    mirrored[:, axis + 2] = length - boxes[:, axis]
    return mirrored
