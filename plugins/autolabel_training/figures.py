"""The quality of weights before and after a training, on the dev images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autolabel_training.loop import Progress
from autolabel_training.metric import ScoredHits, bootstrap_intervals, mean_average_precision, paired_gain

BEFORE, FIGURES = "before.json", "figures.json"
_DRAWS = 500


def write_judged(path: Path, images: Sequence[dict[str, ScoredHits]]) -> None:
    """Save evaluated detections, for a training that is resumed later."""
    plain = [
        {name: [one.scores.tolist(), one.hits.tolist(), one.truths] for name, one in image.items()} for image in images
    ]
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(plain))
    partial.replace(path)


def read_judged(path: Path) -> list[dict[str, ScoredHits]]:
    """Return the saved detections."""
    return [
        {
            name: ScoredHits(np.array(scores, np.float64), np.array(hits, bool), truths)
            for name, (scores, hits, truths) in image.items()
        }
        for image in json.loads(path.read_text())
    ]


def write_figures(
    path: Path, before: Sequence[dict[str, ScoredHits]], after: Sequence[dict[str, ScoredHits]], *, step: Progress
) -> None:
    """Write AP at IoU 0.5 by class and mean, before and after, and the gain, with 95 % intervals."""
    gain, interval = paired_gain(before, after, draws=_DRAWS, seed=0)
    figures = {
        "images": len(after),
        "boxes": sum(one.truths for image in after for one in image.values()),
        "step": step.best_step,
        "before": _ap50(before),
        "after": _ap50(after),
        "gain": {"value": gain, "interval": list(interval)},
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(figures, indent=1) + "\n")
    partial.replace(path)


def _ap50(images: Sequence[dict[str, ScoredHits]]) -> dict[str, Any]:
    intervals = bootstrap_intervals(images, draws=_DRAWS, seed=0)
    return {
        name: {"value": value, "interval": list(intervals[name])}
        for name, value in mean_average_precision(images).items()
    }
