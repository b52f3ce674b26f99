"""The quality of weights before and after a training, on the dev images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from autolabel.errors import DataError
from autolabel_training.metric import ScoredHits, bootstrap_intervals, mean_average_precision, paired_gain

BEFORE, FIGURES = "before.json", "figures.json"
_DRAWS = 500
_Image = TypeVar("_Image")


def plain_hits(images: Sequence[Mapping[str, ScoredHits]]) -> list[dict[str, Any]]:
    """Return evaluated detections as JSON-serialisable data."""
    return [
        {name: [one.scores.tolist(), one.hits.tolist(), one.truths] for name, one in image.items()} for image in images
    ]


def _hits(images: Sequence[Mapping[str, Any]]) -> list[dict[str, ScoredHits]]:
    return [
        {
            name: ScoredHits(np.array(scores, np.float64), np.array(hits, bool), truths)
            for name, (scores, hits, truths) in image.items()
        }
        for image in images
    ]


def compare_hits(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return AP at IoU 0.5 by class and mean, before and after, and the gain, with 95 % intervals.

    Both are what ``plain_hits`` returned for the same images.
    """
    first, second = _hits(before), _hits(after)
    boxes = sum(one.truths for image in second for one in image.values())
    return compare(first, second, of=mean_average_precision, metric="AP at IoU 0.5", boxes=boxes)


def compare(
    before: Sequence[_Image],
    after: Sequence[_Image],
    *,
    of: Callable[[Sequence[_Image]], Mapping[str, float]],
    metric: str,
    boxes: int,
) -> dict[str, Any]:
    """Return the values that ``of`` takes by class and as ``mean``, before and after, and the gain.

    Intervals are of 95 %, over images; ``metric`` and the number of ``boxes`` say what was measured.
    """
    gain, interval = paired_gain(before, after, draws=_DRAWS, seed=0, of=of)
    return {
        "metric": metric,
        "images": len(after),
        "boxes": boxes,
        "before": _with_intervals(before, of),
        "after": _with_intervals(after, of),
        "gain": {"value": gain, "interval": list(interval)},
    }


def _with_intervals(images: Sequence[_Image], of: Callable[[Sequence[_Image]], Mapping[str, float]]) -> dict[str, Any]:
    intervals = bootstrap_intervals(images, draws=_DRAWS, seed=0, of=of)
    return {name: {"value": value, "interval": list(intervals[name])} for name, value in of(images).items()}


def mean_hits(images: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return AP at IoU 0.5 by class, and their ``mean``, of what ``plain_hits`` returned."""
    return mean_average_precision(_hits(images))


def read_json(path: Path) -> Any:
    """Read what ``write_json`` wrote; raises DataError if the file is damaged."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise damaged(path) from error


def damaged(path: Path) -> DataError:
    """Return the error for a file of a training that cannot be read."""
    return DataError(f"{path}: is damaged", hint=f"delete the folder {path.parent}: the training then starts again")


def write_json(path: Path, content: Any) -> None:
    """Write beside the target first, so that an interruption leaves the old file whole."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content) + "\n")
    partial.replace(path)
