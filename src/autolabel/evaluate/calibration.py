"""Score thresholds with a guaranteed precision, from a checked sample of a run's images."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError
from autolabel.evaluate import precision_bound
from autolabel.evaluate.matching import IGNORED, match_boxes
from autolabel.evaluate.precision_bound import LevelCounts, tally
from autolabel.evaluate.scene import Scene
from autolabel.evaluate.scenes import gather_scenes, normalized_name
from autolabel.storage import Location
from autolabel.types import Labels

_Int64 = npt.NDArray[np.int64]
_Float32 = npt.NDArray[np.float32]

ALL = "all classes"
_LEVELS = 40
"""Thresholds that are tried for a class: they keep equal steps of what the run found of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassThreshold:
    """The threshold of one class."""

    name: str
    threshold: float | None
    """The lowest score to keep; None if nothing can be promised."""
    boxes: int
    """Boxes of the class in the whole run."""
    kept: int
    """Boxes at or above the threshold."""
    checked: int
    """Checked boxes at or above the threshold; all checked boxes of the class where there is no threshold."""
    right: int
    """Boxes that are right."""
    precision: float | None
    """The share of those that are right; None if there are none."""
    more_images: int | None = None
    """Estimated further images to check; None with a threshold, or if no number suffices."""
    more_boxes: int | None = None
    """Estimated boxes of the class in those images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Thresholds by class, with their data."""

    precision: float
    confidence: float
    iou: float
    images: int
    """Checked images of the run."""
    classes: tuple[ClassThreshold, ...]
    notes: tuple[str, ...]
    overall: ClassThreshold
    """One threshold for all classes, promised of their boxes together."""
    checks: str = "images"
    """What was checked: whole ``images``, or ``boxes`` drawn for a certificate."""

    @property
    def thresholds(self) -> dict[str, float]:
        """The guaranteed thresholds, by class."""
        return {one.name: one.threshold for one in self.classes if one.threshold is not None}

    @property
    def complete(self) -> bool:
        """Whether every class with boxes has a threshold."""
        return all(one.threshold is not None for one in self.classes if one.boxes)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def calibrate(
    labels: Iterable[Labels],
    truth: str | Location,
    *,
    classes: Sequence[str],
    precision: float,
    confidence: float = 0.95,
    iou: float = 0.5,
    names: Mapping[str, str] | None = None,
) -> Calibration:
    """Choose for each class the lowest score above which ``precision`` is guaranteed with ``confidence``.

    ``labels`` are those of the whole run and are iterated three times; ``truth`` is a COCO file that lists every object
    of the classes in a random sample of the images. ``classes`` are the run's class names. The guarantee holds for each
    class separately, for the precision of all boxes of the run at or above the threshold; a box is right if it overlaps
    a true one of its class by ``iou`` or more. Raises DataError if the file is invalid, shares nothing with the run, or
    a number is out of range.
    """
    checked_numbers(precision=precision, confidence=confidence)
    shared = gather_scenes(labels, truth, names=names)
    numbers = {normalized_name(name): number for number, name in enumerate(shared.classes)}
    found, checked = _read_found(labels, numbers), _judge(shared.scenes, iou)
    wanted = CalibrationGoal(precision, confidence)
    images, seen = len(shared.scenes), frozenset(shared.images)
    most = shared.run_images / images
    chosen = {
        name: choose(found.of(number), checked.of(number), wanted, images=images, seen=seen, most=most)
        for name, number in numbers.items()
    }
    overall = choose(found, checked, wanted, images=images, seen=seen, most=most)
    return Calibration(
        overall=ClassThreshold(name=ALL, **overall),
        precision=precision,
        confidence=confidence,
        iou=iou,
        images=images,
        classes=tuple(
            ClassThreshold(name=name, **chosen[normalized_name(name)])
            for name in classes
            if normalized_name(name) in chosen
        ),
        notes=shared.notes,
    )


def checked_numbers(**shares: float) -> None:
    """Raise DataError if a share is not between 0 and 1."""
    for name, value in shares.items():
        if not 0 < value < 1:
            raise DataError(f"{name} must be above 0 and below 1, got {value:g}")


@dataclass(frozen=True, slots=True)
class CalibrationGoal:
    """The precision and confidence to guarantee."""

    precision: float
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """N boxes of checked images, column by column: image index, class, score, whether it is right."""

    images: _Int64
    classes: _Int64
    scores: _Float32
    right: npt.NDArray[np.bool_]

    def of(self, number: int) -> Judged:
        """Return the boxes of one class."""
        mine = self.classes == number
        return Judged(self.images[mine], self.classes[mine], self.scores[mine], self.right[mine])


def _judge(scenes: Sequence[Scene], iou: float) -> Judged:
    """Judge the boxes of all scenes; boxes in a crowd are left out, as neither right nor wrong."""
    matches = [match_boxes(scene, iou) for scene in scenes]
    kept = [matched != IGNORED for matched in matches]
    return Judged(
        np.concatenate([np.full(int(keep.sum()), place) for place, keep in enumerate(kept)]),
        np.concatenate([scene.found.classes[keep] for scene, keep in zip(scenes, kept, strict=True)]),
        np.concatenate([scene.scores[keep] for scene, keep in zip(scenes, kept, strict=True)]).astype(np.float32),
        np.concatenate([matched[keep] >= 0 for matched, keep in zip(matches, kept, strict=True)]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ScoredBoxes:
    """B boxes of the run, column by column: ascending scores, class, and image index in ``names``."""

    scores: _Float32
    classes: _Int64
    images: _Int64
    names: tuple[str, ...]

    def of(self, number: int) -> _ScoredBoxes:
        """Return the boxes of one class."""
        mine = self.classes == number
        return _ScoredBoxes(self.scores[mine], self.classes[mine], self.images[mine], self.names)

    def images_at(self, levels: _Float32, seen: Collection[str]) -> tuple[_Int64, _Int64]:
        """Return the numbers of images with a box at or above each level, and of those in ``seen``; both (T,)."""
        best = np.full(len(self.names), -1, np.float32)
        np.maximum.at(best, self.images, self.scores)
        checked = np.array([name in seen for name in self.names], bool)
        at_least = best[None, :] >= levels[:, None]
        return at_least.sum(axis=1), (at_least & checked[None, :]).sum(axis=1)


def _read_found(labels: Iterable[Labels], numbers: Mapping[str, int]) -> _ScoredBoxes:
    """Return the run's boxes of measured classes; ``numbers`` maps normalised names to class numbers."""
    scores: list[_Float32] = [np.zeros(0, np.float32)]
    classes, images = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    names: list[str] = []
    for row in labels:
        if not names or names[-1] != row.image.id:
            names.append(row.image.id)
        known = np.array([numbers.get(normalized_name(phrase), -1) for phrase in row.prompt.phrases], np.int64)
        of_box = known[row.instances.labels] if len(row.instances) else np.zeros(0, np.int64)
        scores.append(row.instances.scores[of_box >= 0])
        classes.append(of_box[of_box >= 0])
        images.append(np.full(len(classes[-1]), len(names) - 1))
    joined = np.concatenate(scores)
    order = np.argsort(joined, kind="stable")
    return _ScoredBoxes(joined[order], np.concatenate(classes)[order], np.concatenate(images)[order], tuple(names))


def choose(
    found: _ScoredBoxes, checked: Judged, wanted: CalibrationGoal, *, images: int, seen: Collection[str], most: float
) -> dict[str, Any]:
    """Return the guarantee for some boxes of the run, as fields of a row.

    ``images`` is the number of checked images, with or without such a box, ``seen`` their names; ``most`` times as many
    are all images of the run.
    """
    scores = found.scores
    levels = thresholds(scores)
    right, counted = _by_image(checked, levels)
    images_seen, of_them = found.images_at(levels, seen)
    counts = tally(right, counted, precision=wanted.precision, part=of_them / np.maximum(images_seen, 1))
    place = (
        precision_bound.loosest(counts, precision=wanted.precision, confidence=wanted.confidence)
        if len(levels)
        else None
    )
    if place is not None:
        at = levels[place]
        return {
            "threshold": float(str(at)),
            "boxes": len(scores),
            "kept": int((scores >= at).sum()),
            **_measured_precision(checked, at),
        }
    more = _missing(counts, checked, wanted, images=images, most=most) if len(scores) else {}
    return {"threshold": None, "boxes": len(scores), "kept": 0, **_measured_precision(checked), **more}


def thresholds(scores: _Float32) -> _Float32:
    """Return the ``_LEVELS`` quantiles of ``scores`` (sorted), strictest first."""
    places = len(scores) - 1 - np.arange(1, _LEVELS + 1) * len(scores) // _LEVELS + 1
    return np.unique(scores[np.clip(places, 0, len(scores) - 1)])[::-1] if len(scores) else scores


def _by_image(checked: Judged, levels: _Float32) -> tuple[_Int64, _Int64]:
    """Return the numbers of right boxes and of all boxes at or above each level in each image, both (T, I)."""
    images, place = np.unique(checked.images, return_inverse=True)
    right, found = np.zeros((2, len(levels), len(images)), np.int64)
    for number, level in enumerate(levels):
        above = checked.scores >= level
        right[number] = np.bincount(place[above & checked.right], minlength=len(images))
        found[number] = np.bincount(place[above], minlength=len(images))
    return right, found


def _measured_precision(checked: Judged, least: float = 0) -> dict[str, Any]:
    """Return the measured precision of the boxes that score at least ``least``."""
    right = checked.right[checked.scores >= least]
    return {"checked": len(right), "right": int(right.sum()), "precision": float(right.mean()) if len(right) else None}


def _missing(
    counts: LevelCounts, checked: Judged, wanted: CalibrationGoal, *, images: int, most: float
) -> dict[str, int]:
    """Estimate how many more images and boxes to check; empty if no number suffices.

    At most the number of unchecked images.
    """
    boxes = len(checked.scores)
    if not boxes:
        more = precision_bound.faultless_images(precision=wanted.precision, confidence=wanted.confidence)
        left = round((most - 1) * images)
        return {"more_images": min(more, left), "more_boxes": min(more, left)} if left else {}
    times = precision_bound.more_times(counts, precision=wanted.precision, confidence=wanted.confidence, most=most)
    if times is None:
        return {}
    more, left = math.ceil((times - 1) * images), round((most - 1) * images)
    return {"more_images": min(more, left), "more_boxes": math.ceil((times - 1) * boxes)}
