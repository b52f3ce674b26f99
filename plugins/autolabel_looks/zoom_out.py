"""A look that zooms out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from autolabel.strategies import Look
from autolabel.types import Size

if TYPE_CHECKING:
    import numpy.typing as npt

_MARGIN = (124, 116, 104)
"""Colour of the margin: the mean of ImageNet's photos, which most networks take for nothing."""


class ZoomOut(Look):
    """The image with a plain margin, so that objects appear smaller; for objects that fill the image or are cut off."""

    name = "zoom_out"

    class Params(Look.Params):
        """The factor of the zoom."""

        factor: float = Field(
            default=1.25, gt=1, le=4, description="How many times as high and as wide the image is with its margin."
        )

    params: Params

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return (H, W, 3) pixels in the middle of a margin."""
        height, width = size = (pixels.shape[0], pixels.shape[1])
        top, left = self.corner(size)
        seen = np.empty((*self.shape(size), 3), np.uint8)
        seen[:] = _MARGIN
        seen[top : top + height, left : left + width] = pixels
        return seen

    def shape(self, size: Size) -> Size:
        """Return (height, width) with the margin."""
        return round(size[0] * self.params.factor), round(size[1] * self.params.factor)

    def corner(self, size: Size) -> tuple[int, int]:
        """Return (top, left) of the image in its margin."""
        height, width = self.shape(size)
        return (height - size[0]) // 2, (width - size[1]) // 2

    def restore_boxes(self, boxes: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
        """Return (N, 4) boxes without the margin; they may reach into it."""
        top, left = self.corner(size)
        return boxes - np.array([left, top, left, top], np.float32)

    def restore_mask(self, mask: npt.NDArray[np.bool_], size: Size) -> npt.NDArray[np.bool_]:
        """Return the mask without the margin."""
        top, left = self.corner(size)
        return mask[top : top + size[0], left : left + size[1]]
