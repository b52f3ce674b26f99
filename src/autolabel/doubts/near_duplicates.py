"""Compare the labels of near-duplicate photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from autolabel.duplicates import Groups
from autolabel.errors import ImageError
from autolabel.images import ValueRange, read_pixels
from autolabel.types import Size
from autolabel.types.boxes import iou

_Float64 = npt.NDArray[np.float64]
_Int64 = npt.NDArray[np.int64]
_SIDE = 16
"""Photos are compared as grey pictures of so many pixels a side."""
_ALIKE = 0.98
"""The least correlation of two grey pictures in which the same things lie at the same places."""
_MOST_ALIKE = 30
"""In a larger group, each photo is compared with this many photos that follow it by name."""
_SAME = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledPhoto:
    """A photo with its labelled boxes."""

    name: str
    path: str
    size: Size
    boxes: _Float64
    """(N, 4) pixels."""
    classes: _Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The differences between the labels of two near-duplicates."""

    twin: str
    boxes: int
    """Boxes that only one of the two has."""
    share: float
    """The share of all their objects that differ."""


def differences(
    photos: Mapping[str, LabelledPhoto], groups: Groups, *, max_pixels: int, value_range: ValueRange = None
) -> dict[str, Difference]:
    """Return for photos, by name, the near-duplicate whose labels differ most; none if labels agree.

    Only photos of a group that agree pixel by pixel are compared: in tiles of one picture, and after camera motion,
    boxes lie elsewhere.
    """
    out: dict[str, Difference] = {}
    for members in groups.members:
        here = [photos[name] for name in members if name in photos]
        for one, other in _alike(here, max_pixels, value_range):
            apart, together = _unshared(one, other)
            for mine, its in ((one, other), (other, one)) if apart else ():
                if mine.name not in out or apart > out[mine.name].boxes:
                    out[mine.name] = Difference(twin=its.name, boxes=apart, share=apart / together)
    return out


def _alike(
    photos: Sequence[LabelledPhoto], max_pixels: int, value_range: ValueRange
) -> Iterator[tuple[LabelledPhoto, LabelledPhoto]]:
    """Yield the pairs of photos that agree pixel by pixel."""
    pictures = [_picture(one, max_pixels, value_range) for one in photos]
    for a, b in combinations(range(len(photos)), 2):
        first, second = pictures[a], pictures[b]
        if b - a <= _MOST_ALIKE and first is not None and second is not None and first @ second >= _ALIKE:
            yield photos[a], photos[b]


def _picture(photo: LabelledPhoto, max_pixels: int, value_range: ValueRange) -> _Float64 | None:
    """Return a photo as a small grey picture of mean 0 and length 1; None if it is flat, or cannot be read."""
    try:
        pixels = read_pixels(photo.path, max_pixels=max_pixels, value_range=value_range)
    except ImageError:
        return None
    grey = Pillow.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Pillow.Resampling.BOX)
    values = np.asarray(grey, np.float64).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length else None


def _unshared(one: LabelledPhoto, other: LabelledPhoto) -> tuple[int, int]:
    """Return how many boxes only one of two photos has, and how many objects both have together."""
    overlap = iou(_relative(one), _relative(other))
    overlap[one.classes[:, None] != other.classes[None, :]] = 0
    shared = 0
    while overlap.size and overlap.max() >= _SAME:
        a, b = np.unravel_index(int(overlap.argmax()), overlap.shape)
        overlap[a, :] = 0
        overlap[:, b] = 0
        shared += 1
    apart = len(one.boxes) + len(other.boxes) - 2 * shared
    return apart, apart + shared


def _relative(photo: LabelledPhoto) -> _Float64:
    """Return boxes relative to the photo's sides."""
    height, width = photo.size
    relative: _Float64 = photo.boxes / np.array([width, height, width, height], np.float64).clip(1)
    return relative
