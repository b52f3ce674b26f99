"""Average precision at IoU 0.5, and bootstrap intervals over images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autolabel.types.boxes import iou
from autolabel.types.suppression import suppress

IOU = 0.5
_LOWEST_SCORE = 0.003
_INTERVAL = (2.5, 97.5)

_Floats = NDArray[np.floating]
_Image = TypeVar("_Image")
"""What is known of one image: its judged detections, or the overlaps of its masks."""
_Means = Callable[[Sequence[_Image]], Mapping[str, float]]
"""Takes a value by phrase, and their `mean`, of images."""


@dataclass(frozen=True)
class Detections:
    """Detections of one phrase in one image beside the truth: boxes x0, y0, x1, y1; truth may be empty."""

    boxes: _Floats
    scores: _Floats
    truth: _Floats


@dataclass(frozen=True)
class ScoredHits:
    """Detections of one phrase in one image: score and whether it hit, and the number of true boxes."""

    scores: _Floats
    hits: NDArray[np.bool_]
    truths: int


@dataclass(frozen=True)
class OperatingPoint:
    """A score threshold, and precision and recall of the detections at or above it."""

    threshold: float
    precision: float
    recall: float


def judge(answers: Detections, nms: float) -> ScoredHits:
    """Suppress duplicates at IoU `nms` (1 keeps all), then match boxes, best score first, to the best free true box."""
    scored = answers.scores > _LOWEST_SCORE
    boxes, scores = answers.boxes[scored], answers.scores[scored]
    kept = suppress(boxes, np.argsort(-scores, kind="stable"), threshold=nms)
    overlaps = iou(boxes[kept], answers.truth)
    hits = np.zeros(len(kept), bool)
    for number in range(len(kept)):
        if not overlaps.shape[1]:
            break
        best = overlaps[number].argmax()
        if overlaps[number, best] >= IOU:
            hits[number] = True
            overlaps[:, best] = -1
    return ScoredHits(scores[kept], hits, len(answers.truth))


def average_precision(images: Sequence[ScoredHits]) -> float:
    """Return the area under the precision envelope over all images; nan without a true box."""
    truths = sum(image.truths for image in images)
    if not truths:
        return float("nan")
    scores = np.concatenate([image.scores for image in images])
    hits = np.concatenate([image.hits for image in images])[np.argsort(-scores, kind="stable")]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0], found / truths]))
    return float((steps * envelope).sum())


def mean_average_precision(images: Sequence[dict[str, ScoredHits]]) -> dict[str, float]:
    """Return AP per phrase, and their `mean`; each image maps phrases to judged detections."""
    phrases = sorted({phrase for image in images for phrase in image})
    values = {phrase: average_precision([image[phrase] for image in images if phrase in image]) for phrase in phrases}
    known = {phrase: value for phrase, value in values.items() if not np.isnan(value)}
    return {"mean": float(np.mean(list(known.values()))) if known else float("nan"), **known}


def best_point(images: Sequence[dict[str, ScoredHits]]) -> OperatingPoint:
    """Return the operating point with the highest F1 over all phrases together."""
    judged = [each for image in images for each in image.values()]
    scores = np.concatenate([each.scores for each in judged])
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(np.concatenate([each.hits for each in judged])[order])
    precision = found / np.arange(1, len(found) + 1)
    recall = found / max(1, sum(each.truths for each in judged))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    return OperatingPoint(float(scores[order][best]), float(precision[best]), float(recall[best]))


def bootstrap_intervals(
    images: Sequence[_Image], *, draws: int, seed: int, of: _Means[_Image]
) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of each value that `of` takes of images, over images drawn with replacement."""
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(draws):
        chosen = generator.integers(0, len(images), len(images))
        for name, value in of([images[number] for number in chosen]).items():
            drawn[name].append(value)
    return {name: _interval(values) for name, values in drawn.items()}


def bootstrap_mean(counts: Sequence[int], *, draws: int, seed: int) -> tuple[float, tuple[float, float]]:
    """Return the mean of counts (one per image) and its 95 % bootstrap interval over images."""
    values = np.asarray(counts, float)
    chosen = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    return float(values.mean()), _interval(values[chosen].mean(1).tolist())


def _interval(values: Sequence[float]) -> tuple[float, float]:
    known = [value for value in values if not np.isnan(value)]
    low, high = np.percentile(known, _INTERVAL) if known else (float("nan"), float("nan"))
    return float(low), float(high)
