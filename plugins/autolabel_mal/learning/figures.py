"""How good masks are before and after a training, on dev images whose true masks are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DRAWS, _SEED = 1000, 0
_RANGE = (2.5, 97.5)
_Judged = Sequence[Mapping[str, Sequence[float]]]
"""Of each image, the IoU of each mask with the true one, by class."""


def mean_overlaps(images: _Judged) -> dict[str, float]:
    """Return the mean IoU over all boxes of each class, and over all boxes as ``mean``."""
    names = sorted({name for image in images for name in image})
    means = {name: float(np.mean([value for image in images for value in image.get(name, ())])) for name in names}
    return {**means, "mean": float(np.mean([value for image in images for some in image.values() for value in some]))}


def compare_overlaps(before: _Judged, after: _Judged) -> dict[str, Any]:
    """Return mean IoU by class and over all boxes, before and after, and the gain, with 95 % intervals over images."""
    drawn = np.random.default_rng(_SEED).integers(0, len(after), (_DRAWS, len(after)))
    first, second = _totals(before, drawn), _totals(after, drawn)
    gain = mean_overlaps(after)["mean"] - mean_overlaps(before)["mean"]
    return {
        "metric": "mean IoU of masks",
        "images": len(after),
        "boxes": sum(len(some) for image in after for some in image.values()),
        "before": _with_intervals(before, first),
        "after": _with_intervals(after, second),
        "gain": {"value": gain, "interval": _interval(second["mean"] - first["mean"])},
    }


def _with_intervals(images: _Judged, drawn: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    return {name: {"value": value, "interval": _interval(drawn[name])} for name, value in mean_overlaps(images).items()}


def _totals(images: _Judged, drawn: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the mean IoU (draws,) of each class over images drawn again; nan where a draw has none of it."""
    values = {name: [image.get(name, ()) for image in images] for image in images for name in image}
    values["mean"] = [[value for some in image.values() for value in some] for image in images]
    found = {}
    for name, some in values.items():
        sums, counts = (np.array([of(each) for each in some], float) for of in (sum, len))
        totals = counts[drawn].sum(1)
        found[name] = np.where(totals > 0, sums[drawn].sum(1) / np.maximum(totals, 1), np.nan)
    return found


def _interval(values: NDArray[np.float64]) -> list[float]:
    known = values[np.isfinite(values)]
    return [float(edge) for edge in np.percentile(known, _RANGE)]
