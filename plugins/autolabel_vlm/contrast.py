"""A verifier without a model: the difference between the colours in a box and around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autolabel.strategies import Verifier
from autolabel.types import Sample

if TYPE_CHECKING:
    import numpy.typing as npt

_BINS = 8
"""The number of histogram bins of each channel."""
_RING = 0.25
"""The width of the ring around a box, as a share of its sides."""


class Contrast(Verifier):
    """Scores a box by how much its colours differ from its surroundings; ignores labels.

    For tests and tutorials; needs no endpoint and no weights, and is deterministic.
    """

    name = "contrast"

    class Params(Verifier.Params):
        """Which boxes are in doubt."""

    def load(self, device: str) -> None:
        """Do nothing."""

    def verify(self, batch: Sequence[Sample]) -> Sequence[npt.NDArray[np.float32]]:
        """Return the distance of the two histograms for each box, in [0, 1]; NaN if the box fills the image."""
        return [
            np.array([_contrast(sample.pixels, box) for box in sample.instances.boxes], np.float32) for sample in batch
        ]


def _contrast(pixels: npt.NDArray[np.uint8], box: npt.NDArray[np.float32]) -> float:
    """Return the total variation between the colours of (H, W, 3) pixels in a box and around it, in [0, 1]."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (float(edge) for edge in box)
    inner = _limits(x1, y1, x2, y2, height, width)
    wide, high = max((x2 - x1) * _RING, 1.0), max((y2 - y1) * _RING, 1.0)
    outer = _limits(x1 - wide, y1 - high, x2 + wide, y2 + high, height, width)
    inside, around = _counts(pixels[inner]), _counts(pixels[outer])
    ring = around - inside
    if not inside.sum() or not ring.sum():
        return float("nan")
    return float(np.abs(inside / inside.sum() - ring / ring.sum()).sum() / 2)


def _limits(x1: float, y1: float, x2: float, y2: float, height: int, width: int) -> tuple[slice, slice]:
    """Return the pixels that a box covers, clipped to the image."""
    rows = slice(max(int(np.floor(y1)), 0), min(int(np.ceil(y2)), height))
    return rows, slice(max(int(np.floor(x1)), 0), min(int(np.ceil(x2)), width))


def _counts(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the histogram of (..., 3) pixels over BINS ** 3 colours."""
    step = 256 // _BINS
    red, green, blue = (pixels[..., channel].astype(np.int64) // step for channel in range(3))
    codes = (red * _BINS + green) * _BINS + blue
    return np.bincount(codes.ravel(), minlength=_BINS**3).astype(np.float64)
