"""Turn the network's map of logits into a mask of the whole image with numpy, computing only the needed pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.types import Rle, Size
from autolabel_mal.crop import CropRegion, UInt8, box_profiles, inside

_Int64 = npt.NDArray[np.int64]
_Float32 = npt.NDArray[np.float32]


def encode_mask(logits: _Float32, at: CropRegion, size: Size, *, side: int, threshold: float) -> Rle:
    """Return the mask that a map (grid, grid) gives the crop ``at`` of an image of ``size`` (height, width).

    MAL resizes the map to the crop (side, side), sets the probabilities outside the box to zero, resizes them to the
    region, and applies the threshold. Pixels that the box cannot reach are skipped here.
    """
    (seen_rows, seen_columns), (lit_rows, lit_columns) = inside(at, size), box_profiles(at, side)
    rows = _reading(at.height, seen_rows, lit_rows, len(logits))
    columns = _reading(at.width, seen_columns, lit_columns, len(logits))
    crop = _between(_between(logits, rows.crop, axis=0), columns.crop, axis=1)
    with np.errstate(over="ignore"):  # exp overflows to infinity for a very low logit; the probability is then 0
        soft = np.float32(1) / (np.float32(1) + np.exp(-crop)) * rows.lit[:, None] * columns.lit
    mask = _between(_between(soft, rows.image, axis=0), columns.image, axis=1) > threshold
    return Rle.from_crop(mask, left=at.left + columns.start, top=at.top + rows.start, size=size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """Bilinear interpolation along one axis: each of n values lies between two source places."""

    lower: _Int64
    upper: _Int64
    share: _Float32
    """Weight of the upper place."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _SideSampling:
    """The sampling along one side of a mask: the map at places of the crop, then these at pixels."""

    start: int
    """The first pixel, counted from the region's."""
    crop: _Steps
    lit: _Float32
    """1 if a place of the crop lies in the box, 0 outside."""
    image: _Steps


def _reading(length: int, seen: slice, profile: UInt8, grid: int) -> _SideSampling:
    """Return the sampling of pixels ``seen`` along a side of ``length``, limited to those in the box's profile."""
    side, lit = len(profile), np.flatnonzero(profile)
    image = _steps(np.arange(seen.start, seen.stop), length, side)
    start, stop = 0, 0
    if len(lit):
        start, stop = int(image.upper.searchsorted(lit[0])), int(image.lower.searchsorted(lit[-1], "right"))
    lower, upper, count = image.lower[start:stop], image.upper[start:stop], max(0, stop - start)
    if not count or 2 * count < upper[-1] - lower[0]:  # places are sparse: compute only those
        places = np.concatenate([lower, upper])
        lower, upper = np.arange(count), np.arange(count, 2 * count)
    else:
        places = np.arange(lower[0], upper[-1] + 1)
        lower, upper = lower - places[0], upper - places[0]
    return _SideSampling(
        start=seen.start + start,
        crop=_steps(places, side, grid),
        lit=profile[places].astype(np.float32),
        image=_Steps(lower=lower, upper=upper, share=image.share[start:stop]),
    )


def _steps(places: _Int64, length: int, source: int) -> _Steps:
    """Return torch's bilinear interpolation for ``places`` of a line resized from ``source`` to ``length``."""
    scale = np.float32(source) / np.float32(length)
    at = np.maximum((places.astype(np.float32) + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0))
    lower = np.minimum(at.astype(np.int64), source - 1)
    return _Steps(lower=lower, upper=np.minimum(lower + 1, source - 1), share=at - lower.astype(np.float32))


def _between(values: _Float32, steps: _Steps, *, axis: int) -> _Float32:
    """Interpolate (h, w) values at the steps' places; returns (n, w) or (h, n)."""
    lower, share = values.take(steps.lower, axis), steps.share[:, None] if axis == 0 else steps.share
    mixed: _Float32 = lower + share * (values.take(steps.upper, axis) - lower)
    return mixed
