"""Compare two runs on the same images: the gain of the second, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError
from autolabel.evaluate.intervals import (
    MOST_WORK,
    DetectionCounts,
    Interval,
    averaged,
    draws,
    ranked_boxes,
    weighted_precisions,
)
from autolabel.evaluate.matching import match_boxes
from autolabel.evaluate.precision import coco_evaluation
from autolabel.evaluate.scene import Scene
from autolabel.evaluate.scenes import gather_scenes
from autolabel.percentiles import expanded_percentiles
from autolabel.storage import Location
from autolabel.types import Labels

_Float64 = npt.NDArray[np.float64]
_IOU = 0.5
_DRAWS, _LEAST_DRAWS = 1000, 200
_MEASURES = ("ap50", "ap", "precision", "recall", "f1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval; None where there is nothing to measure, or one group of images alone."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedEstimate:
    """A figure of two runs, and the difference between them on the same images."""

    before: Estimate
    after: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGain:
    """The metrics of two runs on the same images of a truth."""

    images: int
    groups: int
    """Of near-duplicates; an image that has none is a group of its own."""
    objects: int
    """True ones."""
    ap50: PairedEstimate
    """COCO's average precision at IoU 0.5, the mean over classes."""
    ap: PairedEstimate
    """The same over IoU 0.5 to 0.95."""
    precision: PairedEstimate
    recall: PairedEstimate
    f1: PairedEstimate
    """F1 of the exported labels at IoU 0.5."""


def measure_gain(
    before: Iterable[Labels], after: Iterable[Labels], truth: str | Location, *, group_of: Callable[[str], str]
) -> RunGain:
    """Measure two runs against one COCO file.

    Both are measured on every bootstrap sample over groups of images, so that the difficulty of images cancels out. The
    intervals are Hesterberg's expanded percentiles (2015), which allow for few groups. ``group_of`` returns the group
    of an image. Raises DataError if the runs do not share the images of the truth.
    """
    old, new = gather_scenes(before, truth), gather_scenes(after, truth)
    if old.images != new.images or old.classes != new.classes:
        raise DataError("the two runs differ in their images or classes", hint="compare runs over the same images")
    names = [group_of(image) for image in old.images]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    owner = np.array([numbers[name] for name in names], np.int64)
    sides = [_Side.of(one.scenes, one.classes) for one in (old, new)]
    count = int(np.clip(MOST_WORK / max(1, *(side.work for side in sides)), _LEAST_DRAWS, _DRAWS))
    weights = draws(len(numbers), count)[:, owner]
    whole = np.ones((1, len(owner)))
    levels = expanded_percentiles(len(numbers))
    values = [side.measured(whole) for side in sides]
    drawn = [side.measured(weights) for side in sides]
    paired = {
        name: PairedEstimate(
            before=_estimate(values[0][name], drawn[0][name], levels),
            after=_estimate(values[1][name], drawn[1][name], levels),
            gain=_estimate(values[1][name] - values[0][name], drawn[1][name] - drawn[0][name], levels),
        )
        for name in _MEASURES
    }
    objects = sum(int((~scene.crowds).sum()) for scene in old.scenes)
    return RunGain(images=len(owner), groups=len(numbers), objects=objects, **paired)


@dataclass(frozen=True, slots=True)
class _Side:
    """One run: its boxes ranked by class, and the counts of its images."""

    tables: Sequence[Any]
    sums: Sequence[_Float64]
    """True, found and right boxes of each image."""

    @classmethod
    def of(cls, scenes: Sequence[Scene], classes: Sequence[str]) -> _Side:
        tables = list(ranked_boxes(coco_evaluation(scenes, classes, "bbox"), len(scenes)))
        matches = [match_boxes(scene, _IOU) for scene in scenes]
        counts = DetectionCounts.of(scenes, matches, len(classes))
        return cls(tables, [one.sum(axis=1) for one in (counts.true, counts.found, counts.right)])

    @property
    def work(self) -> int:
        """Found boxes times overlaps."""
        return sum(table[1].size for table in self.tables)

    def measured(self, weights: _Float64) -> dict[str, _Float64]:
        """Return every figure for each row of ``weights`` (D, N), (D,); NaN where there is nothing to measure."""
        true, found, right = (weights @ one for one in self.sums)
        means = weighted_precisions(weights, self.tables)
        return {
            "ap50": averaged(means[:, :, :1]),
            "ap": averaged(means),
            "precision": _ratio(right, found),
            "recall": _ratio(right, true),
            "f1": _ratio(2 * right, true + found),
        }


def _ratio(part: _Float64, whole: _Float64) -> _Float64:
    out: _Float64 = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return out


def _estimate(value: _Float64, drawn: _Float64, levels: tuple[float, float] | None) -> Estimate:
    known = drawn[~np.isnan(drawn)]
    figure = None if np.isnan(value[0]) else float(value[0])
    if levels is None or not len(known) or figure is None:
        return Estimate(value=figure, interval=None)
    low, high = np.percentile(known, levels)
    return Estimate(value=figure, interval=(float(low), float(high)))
