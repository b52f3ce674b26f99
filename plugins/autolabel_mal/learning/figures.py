"""The quality of masks before and after a training, on dev images with true masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autolabel_training.figures import compare

_Judged = Sequence[Mapping[str, Sequence[float]]]
"""For each image, the IoU of each mask with the true one, by class."""
_Sums = Mapping[str, tuple[float, int]]
"""For one image, the sum and the number of these IoU, by class."""


def mean_overlaps(images: _Judged) -> dict[str, float]:
    """Return the mean IoU over all boxes of each class, and over all boxes as ``mean``."""
    return _means(_sums(images))


def compare_overlaps(before: _Judged, after: _Judged, *, groups: Sequence[str]) -> dict[str, Any]:
    """Return mean IoU by class and over all boxes, before and after, and the gain, with 95 % intervals.

    ``groups`` names the group of near-duplicates of each image.
    """
    boxes = sum(len(some) for image in after for some in image.values())
    return compare(_sums(before), _sums(after), of=_means, metric="mean IoU of masks", boxes=boxes, groups=groups)


def _sums(images: _Judged) -> list[_Sums]:
    return [{name: (sum(some), len(some)) for name, some in image.items()} for image in images]


def _means(images: Sequence[_Sums]) -> dict[str, float]:
    totals: dict[str, tuple[float, int]] = {}
    for image in images:
        for name, (total, count) in image.items():
            for key in (name, "mean"):
                known, boxes = totals.get(key, (0.0, 0))
                totals[key] = known + total, boxes + count
    return {name: total / count if count else float("nan") for name, (total, count) in sorted(totals.items())}
