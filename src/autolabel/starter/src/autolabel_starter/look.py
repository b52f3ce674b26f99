"""A look: a way of seeing an image whose answer can be carried back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from autolabel.hookspecs import hookimpl
from autolabel.strategies import Look
from autolabel.types import Size
from pydantic import Field

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class StarterLook(Look):
    """Shows every pixel as a square of several, so that small things are seen larger."""

    name = "starter"

    class Params(Look.Params):
        """The parameters in a spec, beside ``type``; the short form ``{starter: 3}`` sets the first field."""

        times: int = Field(default=2, ge=2, le=8, description="How many times as high and as wide the image is seen.")

    params: Params

    def apply(self, pixels: Pixels) -> Pixels:
        """Return what is seen of (H, W, 3) pixels."""
        return pixels.repeat(self.params.times, axis=0).repeat(self.params.times, axis=1)

    def shape(self, size: Size) -> Size:
        """Return the (height, width) of that."""
        return size[0] * self.params.times, size[1] * self.params.times

    def restore_boxes(self, boxes: Boxes, size: Size) -> Boxes:
        """Return (N, 4) boxes of what is seen in pixels of the image of ``size``."""
        return (boxes / self.params.times).astype(np.float32)

    def restore_mask(self, mask: Mask, size: Size) -> Mask:
        """Return a mask of what is seen as one of the image of ``size``."""
        return mask[:: self.params.times, :: self.params.times]


@hookimpl
def autolabel_looks() -> list[type[Look]]:
    """Offer the look."""
    return [StarterLook]
