"""From the network's map of logits to the mask of the whole image, computing only what the mask shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autolabel.transfer import to_device
from autolabel.types import Rle, Size
from autolabel_mal.crop import Region, UInt8, box_profiles, inside

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """One side of a bilinear stretch: each of n values lies between two places."""

    lower: Int64
    upper: Int64
    share: Float32
    """Weight of the upper place."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """How one side of a window is read: places of the crop off the map, then pixels off those places."""

    start: int
    """The window's first pixel, counted from the region's."""
    crop: Steps
    lit: Float32
    """1 where a place of the crop lies in the box, 0 outside."""
    image: Steps

    @property
    def pixels(self) -> int:
        """Return the number of pixels along this side."""
        return len(self.image.lower)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """The part of an image in which a box's mask can have pixels."""

    rows: Reading
    columns: Reading
    left: int
    top: int
    size: Size
    """(height, width) of the image."""

    @property
    def pixels(self) -> int:
        """Return the number of pixels."""
        return self.rows.pixels * self.columns.pixels

    def mask(self, flat: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the window's pixels (rows, columns), given column by column."""
        return flat.reshape(self.columns.pixels, self.rows.pixels).T

    def encode(self, flat: npt.NDArray[np.bool_]) -> Rle:
        """Return the window's pixels, given column by column, as a mask of the whole image."""
        return Rle.from_crop(self.mask(flat), left=self.left, top=self.top, size=self.size)


def window(at: Region, size: Size, *, side: int, grid: int) -> Window:
    """Return where the mask of ``at`` can have pixels in an image of ``size`` (height, width), and how they are read.

    MAL stretches the map (grid, grid) to the crop (side, side), sets the probabilities outside the box to zero, and
    stretches these to the region. What the box cannot reach is left out here.
    """
    (seen_rows, seen_columns), (lit_rows, lit_columns) = inside(at, size), box_profiles(at, side)
    rows = _reading(at.height, seen_rows, lit_rows, grid)
    columns = _reading(at.width, seen_columns, lit_columns, grid)
    return Window(rows=rows, columns=columns, left=at.left + columns.start, top=at.top + rows.start, size=size)


def _reading(length: int, seen: slice, profile: UInt8, grid: int) -> Reading:
    """Return how the pixels ``seen`` of a side of ``length`` are read, as far as they touch the box's profile."""
    side, lit = len(profile), np.flatnonzero(profile)
    image = _steps(np.arange(seen.start, seen.stop), length, side)
    start, stop = 0, 0
    if len(lit):
        start, stop = int(image.upper.searchsorted(lit[0])), int(image.lower.searchsorted(lit[-1], "right"))
    lower, upper, count = image.lower[start:stop], image.upper[start:stop], max(0, stop - start)
    if not count or 2 * count < upper[-1] - lower[0]:  # the places lie apart: only those are computed
        places = np.concatenate([lower, upper])
        lower, upper = np.arange(count), np.arange(count, 2 * count)
    else:
        places = np.arange(lower[0], upper[-1] + 1)
        lower, upper = lower - places[0], upper - places[0]
    return Reading(
        start=seen.start + start,
        crop=_steps(places, side, grid),
        lit=profile[places].astype(np.float32),
        image=Steps(lower=lower, upper=upper, share=image.share[start:stop]),
    )


def _steps(places: Int64, length: int, source: int) -> Steps:
    """Return how the values at ``places`` of a line are made, stretched from ``source`` to ``length`` as by torch."""
    scale = np.float32(source) / np.float32(length)
    at = np.maximum((places.astype(np.float32) + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0))
    lower = np.minimum(at.astype(np.int64), source - 1)
    return Steps(lower=lower, upper=np.minimum(lower + 1, source - 1), share=at - lower.astype(np.float32))


def masks(logits: Tensor, windows: Sequence[Window], thresholds: Sequence[float]) -> list[Tensor]:
    """Return which pixels of each window, (columns, rows), are inside, of maps (B, grid, grid) of logits."""
    sides = [side for one in windows for side in (one.rows, one.columns)]
    places = [(side.crop.lower, side.crop.upper, side.image.lower, side.image.upper) for side in sides]
    weights = [(side.crop.share, side.lit, side.image.share) for side in sides]
    moved = zip(_moved(places, logits.device), _moved(weights, logits.device), strict=True)
    return [
        _probabilities(one, next(moved), next(moved)) > threshold
        for one, threshold in zip(logits, thresholds, strict=True)
    ]


def _moved(groups: Sequence[Sequence[npt.NDArray[Any]]], device: torch.device) -> Iterator[Tensors]:
    """Yield each group's arrays on a device, brought there as one."""
    flat = [array for group in groups for array in group]
    parts = iter(torch.split(to_device(torch.from_numpy(np.concatenate(flat)), device), [len(one) for one in flat]))
    return (tuple(islice(parts, len(group))) for group in groups)


def _probabilities(logits: Tensor, rows: tuple[Tensors, Tensors], columns: tuple[Tensors, Tensors]) -> Tensor:
    """Return the probabilities (columns, rows) of a window's pixels, of logits (grid, grid)."""
    (top, bottom, above, below), (row_share, row_lit, row_blend) = rows
    (left, right, before, after), (column_share, column_lit, column_blend) = columns
    crop = _between(_between(logits, top, bottom, row_share).T.contiguous(), left, right, column_share).sigmoid_()
    crop.mul_(row_lit).mul_(column_lit[:, None])
    return _between(_between(crop, before, after, column_blend).T.contiguous(), above, below, row_blend).T


def _between(values: Tensor, lower: Tensor, upper: Tensor, share: Tensor) -> Tensor:
    """Return rows (n, w) of ``values`` (m, w) between those at ``lower`` and those at ``upper``."""
    return values.index_select(0, lower).lerp_(values.index_select(0, upper), share[:, None])
