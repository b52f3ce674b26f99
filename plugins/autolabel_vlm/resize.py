"""Resize images before sending, so that boxes can be mapped back exactly."""

from __future__ import annotations

import hashlib
import io
import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from autolabel.endpoint import Picture
from autolabel.errors import ImageError
from autolabel.strategies import StrategyParams
from autolabel.types import Size

if TYPE_CHECKING:
    import numpy.typing as npt

_MOST_STRETCHED = 200
"""Sides may differ by this factor where an image is resized to multiples."""
_Whole = Annotated[int, Field(ge=1)]


class Unchanged(StrategyParams):
    """Images are sent in their original size."""

    type: Literal["none"]

    def shape(self, size: Size) -> Size:
        """Return the sent (height, width) of an image of ``size``."""
        return size


class Longest(StrategyParams):
    """The longer side is reduced to a length; smaller images are sent unchanged."""

    type: Literal["longest"]
    side: _Whole = 1280
    """Maximum length of the longer side, in pixels."""

    def shape(self, size: Size) -> Size:
        """Return the sent (height, width) of an image of ``size``."""
        longest = max(size)
        if longest <= self.side:
            return size
        height, width = (max(1, round(length * self.side / longest)) for length in size)
        return height, width


class Multiple(StrategyParams):
    """Sides are rounded to multiples of a number, within limits on the area: the rule of Qwen's processors.

    The server does not resize images of such a size again, so pixel coordinates agree. Qwen2-VL and Qwen2.5-VL use
    multiples of 28, Qwen3-VL of 32.
    """

    type: Literal["multiple"]
    of: _Whole = 28
    """The number, in pixels."""
    min_pixels: _Whole = 3_136
    """Minimum area, in pixels."""
    max_pixels: _Whole = 1_003_520
    """Maximum area, in pixels."""

    def shape(self, size: Size) -> Size:
        """Return the sent (height, width) of an image of ``size``; raises ImageError if it is too narrow."""
        height, width = size
        if max(size) > _MOST_STRETCHED * min(size):
            told = f"{width}x{height} is too narrow for resize: multiple (at most {_MOST_STRETCHED}:1)"
            raise ImageError("too_narrow", told)
        rows, columns = (round(length / self.of) * self.of for length in size)
        if rows * columns > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            rows, columns = (max(self.of, math.floor(length / shrink / self.of) * self.of) for length in size)
        elif rows * columns < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            rows, columns = (math.ceil(length * grow / self.of) * self.of for length in size)
        return rows, columns


def _in_full(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


_Rule = Annotated[Unchanged | Longest | Multiple, Field(discriminator="type")]
Resize = Annotated[
    _Rule, BeforeValidator(_in_full, json_schema_input_type=Literal["none", "longest", "multiple"] | _Rule)
]


def picture(pixels: npt.NDArray[np.uint8], shape: Size, *, kind: Literal["jpeg", "png"], quality: int) -> Picture:
    """Resize (H, W, 3) uint8 RGB pixels to (height, width) ``shape``, and encode them."""
    from PIL import Image

    drawn = Image.fromarray(pixels)
    if pixels.shape[:2] != shape:
        drawn = drawn.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    drawn.save(stream, kind.upper(), **({"quality": quality, "subsampling": 0} if kind == "jpeg" else {}))
    total = hashlib.sha256(f"{kind} {quality if kind == 'jpeg' else ''} {shape} {pixels.shape}".encode())
    total.update(np.ascontiguousarray(pixels).data)
    return Picture(data=stream.getvalue(), kind=f"image/{kind}", content=total.hexdigest())
