"""A run measured against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autolabel.errors import DataError
from autolabel.evaluate.intervals import DetectionCounts, RatioIntervals, ratio_intervals
from autolabel.evaluate.matching import (
    ClassCount,
    Confusion,
    RoundCount,
    count_classes,
    count_confusions,
    count_rounds,
    match_boxes,
)
from autolabel.evaluate.overlap import MaskOverlap, mask_overlap
from autolabel.evaluate.precision import LIMIT, Precision, average_precision
from autolabel.evaluate.scene import Scene
from autolabel.evaluate.scenes import gather_scenes
from autolabel.storage import Location
from autolabel.types import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All measurements; ratios are 0 to 1, None if there is nothing to measure."""

    iou: float
    """The overlap that counted as found in ``_total``, ``classes``, ``rounds``, ``confusions``."""
    images: int
    run_images: int
    """Images of the whole run: of those that the truth does not cover nothing is measured."""
    total: ClassCount
    classes: tuple[ClassCount, ...]
    rounds: tuple[RoundCount, ...]
    confusions: tuple[Confusion, ...]
    total_interval: RatioIntervals
    """Bounds of precision, recall and F1 with 95 % confidence: the bootstrap over images."""
    class_intervals: tuple[RatioIntervals, ...]
    boxes: Precision
    masks: Precision | None
    """The precision of masks; None unless every true object and at least one found object has a mask."""
    overlap: MaskOverlap | None
    notes: tuple[str, ...]
    image_of: Mapping[str, str]
    """Images of the run by the names that the truth file gives them."""

    @property
    def covered(self) -> str:
        """A description of the measured part of the run."""
        if self.images == self.run_images:
            return f"{self.images:,} images"
        return f"{self.images:,} of the run's {self.run_images:,} images"

    def matrix(self, shown: Sequence[int]) -> list[list[int]]:
        """Return the (K + 1, K + 1) confusion matrix of the K classes at ``shown``: rows true, columns found classes.

        The last row counts boxes without a true object of these classes, the last column missed objects.
        """
        place = {self.classes[number].name: index for index, number in enumerate(shown)}
        counts = [[0] * (len(shown) + 1) for _ in range(len(shown) + 1)]
        for one in self.confusions:
            if one.true in place and one.found in place:
                counts[place[one.true]][place[one.found]] = one.count
        for index, number in enumerate(shown):
            counts[index][index] = self.classes[number].right
        for index, number in enumerate(shown):
            counts[index][-1] = self.classes[number].true - sum(counts[index])
            counts[-1][index] = self.classes[number].found - sum(row[index] for row in counts)
        return counts

    def frequent(self, most: int) -> list[int]:
        """Return the indices of the ``most`` most frequent classes (true and found objects), in class order."""
        weights = {number: one.true + one.found for number, one in enumerate(self.classes)}
        ranked = sorted((number for number in weights if weights[number]), key=lambda number: -weights[number])
        return sorted(ranked[:most])

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; the precision of a class is beside its counts."""
        values = asdict(self)
        for number, (counts, one) in enumerate(zip(self.classes, values["classes"], strict=True)):
            one |= _ratios(counts)
            for kind, measured in (("box", self.boxes), ("mask", self.masks)):
                if measured is not None:
                    one[f"{kind}_ap"] = measured.ap_by_class[number]
                    one[f"{kind}_ap50"] = measured.ap50_by_class[number]
        for one, bounds in zip(values["classes"], values.pop("class_intervals"), strict=True):
            one["interval"] = bounds
        values["total"] |= _ratios(self.total) | {"interval": values.pop("total_interval")}
        for kind in ("boxes", "masks"):
            if values[kind] is not None:
                del values[kind]["ap_by_class"], values[kind]["ap50_by_class"], values[kind]["curves"]
        del values["image_of"]
        return values


def _ratios(counts: ClassCount) -> dict[str, float | None]:
    """Return the ratios of a class."""
    return {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}


def evaluate(
    labels: Iterable[Labels], truth: str | Location, *, iou: float = 0.5, names: Mapping[str, str] | None = None
) -> Evaluation:
    """Measure the labels of a run against a COCO file.

    ``labels`` are iterated twice, sorted by image. Images are matched by path, classes by name; unmatched ones are left
    out and noted. ``names`` maps class names of the file to those of the run. Raises DataError if the file is invalid
    or shares nothing with the run.
    """
    if not 0 < iou <= 1:
        raise DataError(f"iou must be above 0 and at most 1, got {iou}")
    shared = gather_scenes(labels, truth, names=names)
    scenes, classes = shared.scenes, shared.classes
    matches = [match_boxes(scene, iou) for scene in scenes]
    counts = count_classes(scenes, matches, classes)
    boxes = average_precision(scenes, classes, "bbox")
    total_interval, class_intervals = ratio_intervals(DetectionCounts.of(scenes, matches, len(classes)))
    return Evaluation(
        iou=iou,
        images=len(scenes),
        run_images=shared.run_images,
        total=_total(counts),
        classes=tuple(counts),
        rounds=tuple(count_rounds(scenes, matches)),
        confusions=tuple(count_confusions(scenes, matches, classes, threshold=iou)),
        total_interval=total_interval,
        class_intervals=class_intervals,
        boxes=boxes,
        masks=average_precision(scenes, classes, "segm") if _masked(scenes) else None,
        overlap=mask_overlap(scenes, matches, threshold=iou),
        notes=(*shared.notes, *_limit_notes(boxes)),
        image_of=shared.image_of,
    )


def _limit_notes(boxes: Precision) -> list[str]:
    """Return notes on classes whose AP suffers from COCO's limit of 100 boxes per class and image."""
    if not boxes.beyond_limit:
        return []
    free = "-" if boxes.ap_unlimited is None else f"{boxes.ap_unlimited:.3f}"
    return [
        f"{boxes.beyond_limit} image(s) have more than {LIMIT} boxes of a class; COCO's AP takes the {LIMIT} surest: "
        f"without that limit the AP of boxes is {free}"
    ]


def _total(counts: Sequence[ClassCount]) -> ClassCount:
    """Return the sum over classes."""
    true, found, right = (sum(getattr(one, field) for one in counts) for field in ("true", "found", "right"))
    return ClassCount(name="all", true=true, found=found, right=right)


def _masked(scenes: Sequence[Scene]) -> bool:
    """Return whether masks can be measured: every true object has one, and some found object has."""
    complete = all(
        mask is not None or broken
        for scene in scenes
        for mask, broken in zip(scene.true.masks, scene.broken.tolist(), strict=True)
    )
    return complete and any(mask is not None for scene in scenes for mask in scene.found.masks)
