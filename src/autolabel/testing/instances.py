"""The contract and the comparison of Instances."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.testing.subject import Subject
from autolabel.types import Instances, Prompt, Rle, Size

_DTYPES = {"boxes": np.float32, "scores": np.float32, "labels": np.int32, "rounds": np.int16}


def check_instances(subject: Subject[Any], found: object, where: str, *, prompt: Prompt) -> Instances:
    """Check types and ranges of what a strategy returned for ``prompt``, and return it."""
    if not isinstance(found, Instances):
        raise AssertionError(subject.sentence(f"{where} must be Instances, found {type(found).__name__}"))
    for column, dtype in _DTYPES.items():
        actual = getattr(found, column).dtype
        subject.require(actual == dtype, f"{where}: {column} must be {np.dtype(dtype)}, found {actual}")
    subject.require(np.isfinite(found.boxes).all(), f"{where}: boxes must be finite")
    subject.require(((found.scores >= 0) & (found.scores <= 1)).all(), f"{where}: scores must lie in [0, 1]")
    labelled = (found.labels >= 0) & (found.labels < len(prompt.phrases))
    subject.require(labelled.all(), f"{where}: labels must index the {len(prompt.phrases)} phrases: {found.labels}")
    return found


def check_bounds(subject: Subject[Any], found: Instances, where: str, *, size: Size) -> None:
    """Check that every box has an area and lies in an image of ``size`` (height, width)."""
    height, width = size
    x1, y1, x2, y2 = found.boxes.T
    inside = (x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)
    outside = f"found {found.boxes[~inside][:3].tolist()}"
    subject.require(
        inside.all(), f"{where}: boxes must be x1 y1 x2 y2 with an area, inside the {width}x{height} image; {outside}"
    )


def check_order(subject: Subject[Any], found: Instances, where: str) -> None:
    """Check that every box is x1 y1 x2 y2 with an area; it may reach beyond the image."""
    x1, y1, x2, y2 = found.boxes.T
    ordered = (x1 < x2) & (y1 < y2)
    wrong = f"found {found.boxes[~ordered][:3].tolist()}"
    subject.require(ordered.all(), f"{where}: boxes must be x1 y1 x2 y2 with an area; {wrong}")


def check_instance_masks(subject: Subject[Any], found: Instances, where: str, *, size: Size) -> None:
    """Check that every box of N has a mask of the whole image; None only where the box has no area in it."""
    subject.require(found.masks is not None, f"{where}: masks are missing")
    height, width = size
    for box, mask in zip(found.boxes, found.masks or (), strict=True):
        clipped = np.clip(box, 0, [width, height, width, height])
        area = clipped[0] < clipped[2] and clipped[1] < clipped[3]
        subject.require(isinstance(mask, Rle) or not area, f"{where}: the box {box.tolist()} has no mask")
        if isinstance(mask, Rle):
            subject.require(mask.size == size, f"{where}: masks must have the size {size}, found {mask.size}")


def difference(first: Instances, second: Instances, tolerance: float) -> str:
    """Describe a difference of more than ``tolerance`` (scores; 100 times as many pixels); empty if there is none.

    The order must be equal. Masks may differ in ``tolerance`` of their pixels.
    """
    if len(first) != len(second):
        return f"{len(first)} instances against {len(second)}"
    for column in ("labels", "rounds"):
        if not np.array_equal(getattr(first, column), getattr(second, column)):
            return f"{column} differ"
    for column, limit in (("scores", tolerance), ("boxes", 100 * tolerance)):
        gap = _largest(getattr(first, column), getattr(second, column))
        if gap > limit:
            return f"{column} differ by {gap:.3g}, more than {limit:.3g}"
    if first.given != second.given:
        return "given fields differ"
    return _mask_difference(first.masks, second.masks, tolerance)


def _largest(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Return the largest absolute difference; 0 if there is nothing."""
    return float(np.abs(first.astype(np.float64) - second).max(initial=0))


def _mask_difference(
    first: tuple[Rle | None, ...] | None, second: tuple[Rle | None, ...] | None, tolerance: float
) -> str:
    """Describe a mask that differs in more than ``tolerance`` of its pixels; empty if there is none."""
    if first is None or second is None or first == second:
        return "" if first == second else "masks are missing on one side"
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        if a is None or b is None or a.size != b.size:
            if a != b:
                return f"mask {index} differs"
            continue
        apart = int((a.decode() != b.decode()).sum())
        if apart > tolerance * max(a.area(), b.area()):
            return f"mask {index} differs in {apart} pixels"
    return ""
