"""Score thresholds whose precision is promised, chosen from a run and a checked part of its images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError
from autolabel.evaluate import promise
from autolabel.evaluate.matching import IGNORED, match
from autolabel.evaluate.promise import Tally, tally
from autolabel.evaluate.scene import Scene
from autolabel.evaluate.scenes import gather, plain
from autolabel.storage import Location
from autolabel.types import Labels

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

LEVELS = 40
"""Thresholds that are tried for a class: they keep equal steps of what the run found of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassThreshold:
    """What the checked images allow to promise of one class."""

    name: str
    threshold: float | None
    """The lowest score to keep; None where nothing can be promised."""
    boxes: int
    """Boxes of the class in the whole run."""
    kept: int
    """Those at or above the threshold."""
    checked: int
    """Checked boxes at or above the threshold; all checked boxes of the class where there is no threshold."""
    right: int
    """Those that are right."""
    precision: float | None
    """The share of those that are right; None where there are none."""
    more_images: int | None = None
    """About so many more images like the checked ones would do; None with a threshold, or where no number would."""
    more_boxes: int | None = None
    """About so many more checked boxes of the class those images would have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Thresholds by class, with what they rest on."""

    precision: float
    confidence: float
    iou: float
    images: int
    """Checked images of the run."""
    classes: tuple[ClassThreshold, ...]
    notes: tuple[str, ...]

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds that are promised, by class."""
        return {one.name: one.threshold for one in self.classes if one.threshold is not None}

    @property
    def complete(self) -> bool:
        """Whether every class that was found has a threshold."""
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
    """Choose for each class the lowest score above which ``precision`` is promised with ``confidence``.

    ``labels`` are those of the whole run and are walked three times; ``truth`` is a COCO file that lists every object
    of the classes in some of its images, drawn at random. ``classes`` are the names that the run knows. The promise is
    made for each class by itself: precision over the whole run's boxes at or above the threshold, where a box is right
    if it overlaps a true one of its class by ``iou`` or more. Raises DataError where the file is not sound, shares
    nothing with the run, or a number is out of its range.
    """
    for name, value in (("precision", precision), ("confidence", confidence)):
        if not 0 < value < 1:
            raise DataError(f"{name} must be above 0 and below 1, got {value:g}")
    shared = gather(labels, truth, names=names)
    numbers = {plain(name): number for number, name in enumerate(shared.classes)}
    found, checked = scores_by_class(labels, numbers), judge(shared.scenes, iou)
    wanted = Wanted(precision, confidence)
    images = len(shared.scenes)
    chosen = {
        name: choose(found[number], checked.of(number), wanted, images=images) for name, number in numbers.items()
    }
    return Calibration(
        precision=precision,
        confidence=confidence,
        iou=iou,
        images=images,
        classes=tuple(ClassThreshold(name=name, **chosen[plain(name)]) for name in classes if plain(name) in chosen),
        notes=shared.notes,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be promised."""

    precision: float
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """N boxes of checked images, column by column: place of the image, class, score, whether it is right."""

    images: Int64
    classes: Int64
    scores: Float32
    right: npt.NDArray[np.bool_]

    def of(self, number: int) -> Judged:
        """Return the boxes of one class."""
        mine = self.classes == number
        return Judged(self.images[mine], self.classes[mine], self.scores[mine], self.right[mine])


def judge(scenes: Sequence[Scene], iou: float) -> Judged:
    """Return which boxes of all scenes are right; those in a crowd are left out, they are neither right nor wrong."""
    matches = [match(scene, iou) for scene in scenes]
    kept = [matched != IGNORED for matched in matches]
    return Judged(
        np.concatenate([np.full(int(keep.sum()), place) for place, keep in enumerate(kept)]),
        np.concatenate([scene.found.classes[keep] for scene, keep in zip(scenes, kept, strict=True)]),
        np.concatenate([scene.scores[keep] for scene, keep in zip(scenes, kept, strict=True)]).astype(np.float32),
        np.concatenate([matched[keep] >= 0 for matched, keep in zip(matches, kept, strict=True)]),
    )


def scores_by_class(labels: Iterable[Labels], numbers: Mapping[str, int]) -> list[Float32]:
    """Return the scores of every box of the run by class, each sorted; ``numbers`` are the classes by plain name."""
    parts: list[list[Float32]] = [[] for _ in numbers]
    for row in labels:
        for label in np.unique(row.instances.labels).tolist():
            number = numbers.get(plain(row.prompt.phrases[label]))
            if number is not None:
                parts[number].append(row.instances.scores[row.instances.labels == label])
    return [np.sort(np.concatenate([np.zeros(0, np.float32), *part])) for part in parts]


def choose(scores: Float32, checked: Judged, wanted: Wanted, *, images: int) -> dict[str, Any]:
    """Return what can be promised of a class whose boxes in the run have ``scores`` (sorted), as fields of its row.

    ``images`` is how many were checked, with or without a box of the class.
    """
    levels = thresholds(scores)
    counts = tally(*by_image(checked, levels), precision=wanted.precision)
    place = promise.loosest(counts, precision=wanted.precision, confidence=wanted.confidence) if len(levels) else None
    if place is not None:
        at = levels[place]
        return {
            "threshold": float(str(at)),
            "boxes": len(scores),
            "kept": int((scores >= at).sum()),
            **told(checked, at),
        }
    more = missing(counts, checked, wanted, images=images) if len(scores) else {}
    return {"threshold": None, "boxes": len(scores), "kept": 0, **told(checked), **more}


def thresholds(scores: Float32) -> Float32:
    """Return the scores that keep about 1, 2 ... ``LEVELS`` equal parts of ``scores`` (sorted), strictest first."""
    places = len(scores) - 1 - np.arange(1, LEVELS + 1) * len(scores) // LEVELS + 1
    return np.unique(scores[np.clip(places, 0, len(scores) - 1)])[::-1] if len(scores) else scores


def by_image(checked: Judged, levels: Float32) -> tuple[Int64, Int64]:
    """Return how many boxes are right, and how many there are, at or above each level in each image, both (T, I)."""
    images, place = np.unique(checked.images, return_inverse=True)
    right, found = np.zeros((2, len(levels), len(images)), np.int64)
    for number, level in enumerate(levels):
        above = checked.scores >= level
        right[number] = np.bincount(place[above & checked.right], minlength=len(images))
        found[number] = np.bincount(place[above], minlength=len(images))
    return right, found


def told(checked: Judged, least: float = 0) -> dict[str, Any]:
    """Return how the boxes that score ``least`` or more did."""
    right = checked.right[checked.scores >= least]
    return {"checked": len(right), "right": int(right.sum()), "precision": float(right.mean()) if len(right) else None}


def missing(counts: Tally, checked: Judged, wanted: Wanted, *, images: int) -> dict[str, int]:
    """Return how many more images and boxes would have to be checked, nothing where no number would do."""
    boxes = len(checked.scores)
    if not boxes:
        more = promise.faultless(precision=wanted.precision, confidence=wanted.confidence)
        return {"more_images": more, "more_boxes": more}
    times = promise.more_times(counts, precision=wanted.precision, confidence=wanted.confidence)
    if times is None:
        return {}
    return {"more_images": math.ceil((times - 1) * images), "more_boxes": math.ceil((times - 1) * boxes)}
