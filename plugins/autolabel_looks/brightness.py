"""Looks that change brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from autolabel.strategies import Look

if TYPE_CHECKING:
    import numpy.typing as npt


class Darker(Look):
    """The image, darker."""

    name = "darker"

    class Params(Look.Params):
        """The factor of the brightness."""

        factor: float = Field(default=0.8, gt=0, lt=1, description="What every pixel is multiplied by.")

    params: Params

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return (H, W, 3) pixels, each multiplied by the factor."""
        return _scaled(pixels, self.params.factor)


class Brighter(Look):
    """The image, brighter; values are clipped at white."""

    name = "brighter"

    class Params(Look.Params):
        """The factor of the brightness."""

        factor: float = Field(default=1.2, gt=1, le=4, description="What every pixel is multiplied by.")

    params: Params

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return (H, W, 3) pixels, each multiplied by the factor, at most 255."""
        return _scaled(pixels, self.params.factor)


def _scaled(pixels: npt.NDArray[np.uint8], factor: float) -> npt.NDArray[np.uint8]:
    """Return pixels multiplied by a factor, rounded, from 0 to 255."""
    levels = np.minimum(np.round(np.arange(256) * factor), 255).astype(np.uint8)
    seen: npt.NDArray[np.uint8] = levels[pixels]
    return seen
