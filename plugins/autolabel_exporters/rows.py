"""Rows of the ledger, gathered image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError
from autolabel.types import Image, Instances, Labels, Rle

BOX_DECIMALS = 3
SCORE_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object of an image, in plain Python values that any format can be written from."""

    box: list[float]
    """``x1 y1 x2 y2`` in pixels, three decimals."""
    phrase: str
    score: float
    round: int
    mask: Rle | None
    given: Mapping[str, Any] | None


def by_image(labels: Iterable[Labels]) -> Iterator[tuple[Image, list[Labels]]]:
    """Yield each image once, with its rows (one a caption) that did not fail; skip images that have none."""
    for _, rows in groupby(labels, key=lambda row: row.image.id):
        kept = [row for row in rows if row.reason is None]
        if kept:
            yield kept[0].image, kept


def objects(row: Labels) -> Iterator[Found]:
    """Yield the objects of a row; raises DataError where a number is not finite."""
    instances = row.instances
    boxes: list[list[float]] = rounded_boxes(row).tolist()
    scores = rounded_scores(instances)
    labels, rounds = instances.labels.tolist(), instances.rounds.tolist()
    masks: Sequence[Rle | None] = instances.masks or (None,) * len(instances)
    given: Sequence[Mapping[str, Any] | None] = instances.given or (None,) * len(instances)
    for box, label, score, number, mask, source in zip(boxes, labels, scores, rounds, masks, given, strict=True):
        phrase = row.prompt.phrases[label]
        yield Found(box=box, phrase=phrase, score=score, round=number, mask=mask, given=source)


def rounded_boxes(row: Labels) -> npt.NDArray[np.float64]:
    """Return (N, 4) ``x1 y1 x2 y2`` with three decimals; raises DataError where a box or a score is not finite."""
    instances = row.instances
    if not (np.isfinite(instances.boxes).all() and np.isfinite(instances.scores).all()):
        raise DataError(f"{row.image.id}: a box or a score is not finite, no label file can carry that")
    return instances.boxes.astype(np.float64).round(BOX_DECIMALS)


def rounded_scores(instances: Instances) -> list[float]:
    """Return N scores with six decimals."""
    rounded: list[float] = instances.scores.astype(np.float64).round(SCORE_DECIMALS).tolist()
    return rounded
