"""The overlap of masks with true masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.scene import Scene
from autolabel.types import Rle
from autolabel.types.boxes import paired_iou

_Int64 = npt.NDArray[np.int64]
_SMALL, _MEDIUM = 32**2, 96**2
"""COCO's bounds of the size classes, in square pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskOverlap:
    """Mean intersection over union of masks, of all pairs and by the size of the true object; None without pairs."""

    pairs: int
    by_id: int
    """The number of pairs matched by the id of a given object."""
    mean: float | None
    small: float | None
    medium: float | None
    large: float | None


def mask_overlap(scenes: Sequence[Scene], matches: Sequence[_Int64], *, threshold: float) -> MaskOverlap | None:
    """Measure the IoU of found masks with the masks of their true objects.

    Objects are paired by id if the boxes were given and overlap by ``threshold`` or more, otherwise by ``matches``. A
    found object without a mask counts 0. None if no pair has a true mask, or nothing found has a mask.
    """
    if not any(mask is not None for scene in scenes for mask in scene.found.masks):
        return None
    values: list[float] = []
    areas: list[float] = []
    by_id = 0
    for scene, matched in zip(scenes, matches, strict=True):
        pairs, given = _pair_up(scene, matched, threshold)
        by_id += given
        for found, true in pairs:
            values.append(_mask_iou(scene.found.masks[found], scene.true.masks[true]))
            areas.append(float(scene.areas[true]))
    return _summary(np.array(values), np.array(areas), by_id) if values else None


def _summary(values: npt.NDArray[np.float64], areas: npt.NDArray[np.float64], by_id: int) -> MaskOverlap:
    """Return the means by size."""
    return MaskOverlap(
        pairs=len(values),
        by_id=by_id,
        mean=_mean(values),
        small=_mean(values[areas < _SMALL]),
        medium=_mean(values[(areas >= _SMALL) & (areas < _MEDIUM)]),
        large=_mean(values[areas >= _MEDIUM]),
    )


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    """Return the mean, None of nothing."""
    return float(values.mean()) if len(values) else None


def _pair_up(scene: Scene, matched: _Int64, threshold: float) -> tuple[list[tuple[int, int]], int]:
    """Return (found, true) indices of pairs whose true object has a mask, and the number of pairs by id."""
    place_of = {number: place for place, number in enumerate(scene.true.ids)}
    pairs: dict[int, int] = {}
    for found, number in enumerate(scene.found.ids):
        true = place_of.get(number) if number is not None else None
        if true is not None and paired_iou(scene.found.boxes[found], scene.true.boxes[true]) >= threshold:
            pairs[found] = true
    by_id, taken = len(pairs), set(pairs.values())
    for found, true in enumerate(matched.tolist()):
        if true >= 0 and found not in pairs and true not in taken:
            pairs[found] = true
    masked = {found: true for found, true in sorted(pairs.items()) if _usable(scene, true)}
    return list(masked.items()), min(by_id, len(masked))


def _usable(scene: Scene, true: int) -> bool:
    """Return whether a true object has a mask and is no crowd."""
    return scene.true.masks[true] is not None and not scene.crowds[true]


def _mask_iou(first: Rle | None, second: Rle | None) -> float:
    """Return the overlap of two masks; 0 if one is missing, 1 if both are empty."""
    if first is None or second is None:
        return 0.0
    from pycocotools import mask as coco

    value = float(coco.iou([first.as_coco()], [second.as_coco()], [0])[0, 0])
    return 1.0 if not first.area() and not second.area() else value
