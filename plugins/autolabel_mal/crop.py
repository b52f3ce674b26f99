"""The square crop around a box that is the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image as Pillow

from autolabel.types import Size

if TYPE_CHECKING:
    import numpy.typing as npt

UInt8: TypeAlias = "npt.NDArray[np.uint8]"
_SMALL, _LARGE = 32.0**2, 96.0**2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CropRegion:
    """The region of a crop in its image: the box with its margins, in whole pixels; may reach outside."""

    left: int
    top: int
    width: int
    height: int
    columns: tuple[int, int]
    """First pixel column of the box and the one after its last, counted from ``left`` and inside the image."""
    rows: tuple[int, int]
    """Likewise the rows, from ``top``."""
    group: int
    """0, 1, 2: a small, medium, large object."""


def size_group(box: npt.NDArray[np.float32]) -> int:
    """Return 0 (area up to 32^2 px), 1 (up to 96^2), or 2 of a box ``x1 y1 x2 y2``, in float32 like MAL."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return int(area > _SMALL) + int(area > _LARGE)


def region(box: npt.NDArray[np.float32], size: Size, margins: tuple[float, float]) -> CropRegion:
    """Return the crop of a box that lies inside an image of ``size`` (height, width).

    It is wider than the box by half of ``margins[0]`` (MAL's test margin rate) and higher by half of ``margins[1]``,
    the same on either side; one pixel more on the right and at the bottom, then outwards to whole pixels.
    """
    left, right, columns = _span(box[0], box[2], length=size[1], margin=margins[0])
    top, bottom, rows = _span(box[1], box[3], length=size[0], margin=margins[1])
    return CropRegion(
        left=left,
        top=top,
        width=right - left,
        height=bottom - top,
        columns=columns,
        rows=rows,
        group=size_group(box),
    )


def _span(start: np.float32, end: np.float32, *, length: int, margin: float) -> tuple[int, int, tuple[int, int]]:
    centre = (start + end) / np.float32(2)
    half = (end - start) * np.float32(0.5) * np.float32(1 + margin * 0.5)
    first, last = math.floor(centre - half), math.ceil(centre + half + np.float32(1))
    return first, last, (int(start) - first, min(int(end) + 1, length) - first)


def inside(at: CropRegion, size: Size) -> tuple[slice, slice]:
    """Return the rows and columns of a crop that lie in an image of ``size`` (height, width)."""
    rows = slice(max(0, -at.top), min(at.height, size[0] - at.top))
    return rows, slice(max(0, -at.left), min(at.width, size[1] - at.left))


def crop_image(pixels: UInt8, at: CropRegion, side: int) -> UInt8:
    """Return the crop (side, side, 3) uint8, resized bicubically; outside the image, pixels wrap around."""
    height, width = pixels.shape[:2]
    piece = _wrapped(_wrapped(pixels, at.top, at.height, height, axis=0), at.left, at.width, width, axis=1)
    image = Pillow.fromarray(np.ascontiguousarray(piece))
    return np.asarray(image.resize((side, side), Pillow.Resampling.BICUBIC))


def _wrapped(pixels: UInt8, start: int, count: int, length: int, *, axis: int) -> UInt8:
    if start < 0 or start + count > length:
        return pixels.take(np.arange(start, start + count), axis=axis, mode="wrap")
    piece: UInt8 = pixels[start : start + count] if axis == 0 else pixels[:, start : start + count]
    return piece


def box_profiles(at: CropRegion, side: int) -> tuple[UInt8, UInt8]:
    """Return the rows and the columns (side,) of the resized crop that lie in the box, as 0 or 1.

    Their outer product is MAL's box mask: bicubic resizing works along one axis at a time and rounds after each.
    """
    return _profile(at.rows, at.height, side), _profile(at.columns, at.width, side)


def _profile(inside: tuple[int, int], length: int, side: int) -> UInt8:
    line = np.zeros((1, length), np.uint8)
    line[0, inside[0] : inside[1]] = 1
    profile: UInt8 = np.asarray(Pillow.fromarray(line).resize((side, 1), Pillow.Resampling.BICUBIC))[0]
    return profile
