"""Confidence intervals by the bootstrap over images (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.matching import IGNORED
from autolabel.evaluate.scene import Int64, Scene

_Float64 = npt.NDArray[np.float64]
_RankedBoxes = tuple[Int64, npt.NDArray[np.bool_], npt.NDArray[np.bool_], _Float64]
"""D boxes of a class, the surest first: their images (D,), which are right and which wrong at T overlaps (T, D); and
how many true objects each image has."""
Interval = tuple[float, float]
"""The lower and the upper bound, with 95 % confidence."""

_LEVELS = (2.5, 97.5)
_DRAWS = 1000
_AP_DRAWS = 200
MOST_WORK = 4e8
"""Found boxes times overlaps times draws: beyond, AP is given without an interval."""
_LEAST_IMAGES = 2
_RECALLS: _Float64 = np.linspace(0, 1, 101)
"""The recalls at which COCO samples the precision-recall curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioIntervals:
    """The intervals of one class, or of all; None if there is nothing to measure, or only one image."""

    precision: Interval | None = None
    recall: Interval | None = None
    f1: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCounts:
    """True, found and right boxes by image and class, as three (N, K) arrays."""

    true: _Float64
    found: _Float64
    right: _Float64

    @classmethod
    def of(cls, scenes: Sequence[Scene], matches: Sequence[Int64], classes: int) -> DetectionCounts:
        """Count over N scenes, without crowds and the boxes in them."""
        true, found, right = (np.zeros((len(scenes), classes)) for _ in range(3))
        for row, (scene, matched) in enumerate(zip(scenes, matches, strict=True)):
            true[row] = np.bincount(scene.true.classes[~scene.crowds], minlength=classes)
            found[row] = np.bincount(scene.found.classes[matched != IGNORED], minlength=classes)
            right[row] = np.bincount(scene.found.classes[matched >= 0], minlength=classes)
        return cls(true=true, found=found, right=right)


def ratio_intervals(counts: DetectionCounts) -> tuple[RatioIntervals, tuple[RatioIntervals, ...]]:
    """Return the intervals over all classes together, then those of each class."""
    images = len(counts.true)
    sums = [np.column_stack([one.sum(axis=1), one]) for one in (counts.true, counts.found, counts.right)]
    if images < _LEAST_IMAGES:
        nothing = tuple(RatioIntervals() for _ in range(sums[0].shape[1]))
        return nothing[0], nothing[1:]
    true, found, right = (np.concatenate(parts) for parts in zip(*_drawn(sums, images), strict=True))
    columns = zip(_bounds(right, found), _bounds(right, true), _bounds(2 * right, true + found), strict=True)
    made = tuple(RatioIntervals(precision=p, recall=r, f1=f) for p, r, f in columns)
    return made[0], made[1:]


def draws(images: int, count: int, *, seed: int = 0) -> _Float64:
    """Return the number of times each image occurs in each of ``count`` bootstrap samples, (count, images)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(images, np.full(images, 1 / images), size=count).astype(np.float64)


def _drawn(sums: Sequence[_Float64], images: int) -> Any:
    """Yield the sums of a few samples at a time, to limit memory."""
    at_once = max(1, min(_DRAWS, int(2e7 / images)))
    for number, start in enumerate(range(0, _DRAWS, at_once)):
        weights = draws(images, min(at_once, _DRAWS - start), seed=number)
        yield tuple(weights @ one for one in sums)


def _bounds(part: _Float64, whole: _Float64) -> list[Interval | None]:
    """Return the interval of each column's ratio over the samples."""
    ratios = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return [_interval(column) for column in ratios.T]


def _interval(values: _Float64) -> Interval | None:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.percentile(values, _LEVELS)
    return float(low), float(high)


def average_precision_intervals(evaluation: Any, images: int) -> tuple[Interval | None, Interval | None]:
    """Return the intervals of AP and AP50 of pycocotools' evaluation of ``images`` images, once it has evaluated."""
    tables = list(ranked_boxes(evaluation, images))
    work = len(evaluation.params.iouThrs) * sum(len(table[0]) for table in tables)
    count = min(_AP_DRAWS, int(MOST_WORK / max(1, work)))
    if images < _LEAST_IMAGES or not tables or count < _AP_DRAWS // 4:
        return None, None
    means = weighted_precisions(draws(images, count), tables, np.asarray(evaluation.params.recThrs))
    return _interval(averaged(means)), _interval(averaged(means[:, :, :1]))


def weighted_precisions(weights: _Float64, tables: Sequence[_RankedBoxes], points: _Float64 = _RECALLS) -> _Float64:
    """Return COCO's average precision for each row of ``weights`` (D, N), class and overlap, (D, K, T)."""
    overlaps = len(tables[0][1]) if tables else 0
    means = np.full((len(weights), len(tables), overlaps), np.nan)
    for number, one in enumerate(weights):
        for place, table in enumerate(tables):
            means[number, place] = weighted_precision(one, table, points)
    return means


def averaged(means: _Float64) -> _Float64:
    """Return the mean over classes and overlaps of each draw, (D,), where there is anything to measure; NaN else."""
    flat = means.reshape(len(means), -1)
    counted = ~np.isnan(flat)
    total, terms = np.where(counted, flat, 0).sum(axis=1), counted.sum(axis=1)
    ratio: _Float64 = np.divide(total, terms, out=np.full(len(flat), np.nan), where=terms > 0)
    return ratio


def ranked_boxes(evaluation: Any, images: int) -> Iterator[_RankedBoxes]:
    """Yield for each class with true objects: image, right and wrong (T, D) of its boxes by score, true by image."""
    for start in range(0, len(evaluation.evalImgs), images * len(evaluation.params.areaRng)):
        found = [(row, one) for row, one in enumerate(evaluation.evalImgs[start : start + images]) if one is not None]
        true = np.zeros(images)
        for row, one in found:
            true[row] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
        if not true.sum():
            continue
        scores = np.concatenate([np.asarray(one["dtScores"], np.float64) for _, one in found])
        owner = np.concatenate([np.full(len(one["dtScores"]), row) for row, one in found]).astype(np.int64)
        matched = np.concatenate([np.asarray(one["dtMatches"]) for _, one in found], axis=1) > 0
        counts = np.concatenate([np.asarray(one["dtIgnore"], bool) for _, one in found], axis=1) == 0
        order = np.argsort(-scores, kind="mergesort")
        yield owner[order], (matched & counts)[:, order], (~matched & counts)[:, order], true


def weighted_precision(weights: _Float64, table: _RankedBoxes, points: _Float64 = _RECALLS) -> _Float64:
    """Return COCO's average precision at each overlap, (T,), where each image counts as often as it was drawn.

    NaN without true objects.
    """
    owner, right, wrong, true = table
    total = float(weights @ true)
    if not total:
        return np.full(len(right), np.nan)
    own = weights[owner]
    hits, misses = np.cumsum(right * own, axis=1), np.cumsum(wrong * own, axis=1)
    precision = np.divide(hits, hits + misses, out=np.zeros_like(hits), where=hits + misses > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    out = np.zeros(len(right))
    for row, recall in enumerate(hits / total):
        places = np.searchsorted(recall, points, side="left")
        reached = places < len(recall)
        out[row] = envelope[row, places[reached]].sum() / len(points)
    return out
