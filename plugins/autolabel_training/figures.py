"""The quality of weights before and after a training, on the dev images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from autolabel.errors import DataError
from autolabel.percentiles import expanded_percentiles
from autolabel.strategies import FineTuning
from autolabel_training.metric import ScoredHits, mean_average_precision

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


def dev_groups(task: FineTuning[Any]) -> Sequence[str]:
    """Return the group of near-duplicates of each dev image; each is its own where the task names none."""
    return task.dev_groups or [str(number) for number in range(len(task.dev))]


def compare_hits(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], *, groups: Sequence[str]
) -> dict[str, Any]:
    """Return AP at IoU 0.5 by class and mean, before and after, and the gain, with 95 % intervals.

    Both are what ``plain_hits`` returned for the same images; ``groups`` names the group of each image.
    """
    first, second = _hits(before), _hits(after)
    boxes = sum(one.truths for image in second for one in image.values())
    return compare(first, second, of=mean_average_precision, metric="AP at IoU 0.5", boxes=boxes, groups=groups)


def compare(
    before: Sequence[_Image],
    after: Sequence[_Image],
    *,
    of: Callable[[Sequence[_Image]], Mapping[str, float]],
    metric: str,
    boxes: int,
    groups: Sequence[str],
) -> dict[str, Any]:
    """Return the values that ``of`` takes by class and as ``mean``, before and after, and the gain.

    Intervals are of 95 %: Hesterberg's expanded percentiles of a bootstrap over ``groups``, the group of
    near-duplicates of each image; None for one group alone. Before and after are evaluated on the same draws, so that
    the difficulty of images cancels out. ``metric`` and the number of ``boxes`` say what was measured.
    """
    whole = [of(images) for images in (before, after)]
    drawn = [(of([before[i] for i in chosen]), of([after[i] for i in chosen])) for chosen in _draws(groups)]
    gains = [second["mean"] - first["mean"] for first, second in drawn]
    levels = expanded_percentiles(len(set(groups)))
    old, new = (
        {
            name: _estimate(value, [draw[side][name] for draw in drawn if name in draw[side]], levels)
            for name, value in whole[side].items()
        }
        for side in (0, 1)
    )
    return {
        "metric": metric,
        "images": len(after),
        "boxes": boxes,
        "before": old,
        "after": new,
        "gain": _estimate(whole[1]["mean"] - whole[0]["mean"], gains, levels),
    }


def _draws(groups: Sequence[str]) -> Iterator[list[int]]:
    """Yield the images of each resample: as many groups as there are, drawn with replacement."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    parts = list(members.values())
    generator = np.random.default_rng(0)
    for _ in range(_DRAWS):
        yield [index for part in generator.integers(0, len(parts), len(parts)) for index in parts[part]]


def _estimate(value: float, drawn: Sequence[float], levels: tuple[float, float] | None) -> dict[str, Any]:
    """Return a value with its interval; None where there is nothing to draw."""
    known = [one for one in drawn if not np.isnan(one)]
    interval = None if levels is None or not known else np.percentile(known, levels).tolist()
    return {"value": value, "interval": interval}


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
