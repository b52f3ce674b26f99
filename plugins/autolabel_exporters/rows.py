"""Group the ledger's rows by image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from autolabel.errors import DataError
from autolabel.types import Image, Instances, Labels, Rle

if TYPE_CHECKING:
    import numpy.typing as npt

SCALES = (1e3, 1e3, 1e3, 1e3, 1e6)
"""Boxes are written with three decimals, scores with six."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedObject:
    """One object of an image as plain Python values."""

    box: list[float]
    """``x1 y1 x2 y2`` in pixels, three decimals."""
    phrase: str
    score: float
    round: int
    mask: Rle | None
    given: Mapping[str, Any] | None
    verdict: float | None
    """The verdict of a verifier, in [0, 1], six decimals; None without one."""
    expression: str | None
    """A referring expression: words that fit this object and no other of its image; None without one."""


def by_image(labels: Iterable[Labels]) -> Iterator[tuple[Image, list[Labels]]]:
    """Yield each image once, with its rows (one per caption) that did not fail; skip images without such rows.

    Boxes are clipped to the image; boxes outside it are left out.
    """
    for _, rows in groupby(labels, key=lambda row: row.image.id):
        kept = [row.inside() for row in rows if row.reason is None]
        if kept:
            yield kept[0].image, kept


def exported_objects(row: Labels) -> Iterator[ExportedObject]:
    """Yield the objects of a row, clipped to the image; raises DataError if a number is not finite."""
    row = row.inside()
    instances = row.instances
    table = _rounded(row)
    boxes, scores = table[:, :4].tolist(), table[:, 4].tolist()
    labels, rounds = instances.labels.tolist(), instances.rounds.tolist()
    masks: Sequence[Rle | None] = instances.masks or (None,) * len(instances)
    given: Sequence[Mapping[str, Any] | None] = instances.given or (None,) * len(instances)
    expressions: Sequence[str | None] = instances.expressions or (None,) * len(instances)
    columns = zip(boxes, labels, scores, rounds, masks, given, verdicts_of(instances), expressions, strict=True)
    for box, label, score, number, mask, source, verdict, expression in columns:
        yield ExportedObject(
            box=box,
            phrase=row.prompt.phrases[label],
            score=score,
            round=number,
            mask=mask,
            given=source,
            verdict=verdict,
            expression=expression,
        )


def verdicts_of(found: Instances) -> Sequence[float | None]:
    """Return each object's verdict with six decimals; None if the verifier was not asked about it."""
    if found.verdicts is None:
        return (None,) * len(found)
    return [None if verdict is None else round(verdict, 6) for verdict in found.verdicts]


def _rounded(row: Labels) -> npt.NDArray[np.float64]:
    """Return (N, 5) ``x1 y1 x2 y2 score``, boxes with three decimals, scores with six.

    Raises DataError if a number is not finite.
    """
    table = scored_boxes([row])
    table /= SCALES
    return table


def scored_boxes(rows: Sequence[Labels]) -> npt.NDArray[np.float64]:
    """Return (N, 5) ``x1 y1 x2 y2 score`` of all objects: thousandths of a pixel, millionths of a score.

    Raises DataError naming the image where a number is not finite.
    """
    table = np.empty((sum(len(row.instances) for row in rows), 5))
    np.concatenate([row.instances.boxes for row in rows], out=table[:, :4])
    np.concatenate([row.instances.scores for row in rows], out=table[:, 4])
    if not math.isfinite(table.sum()):
        raise DataError(f"{_first_not_finite(rows)}: a box or a score is not finite, no label file can carry that")
    table *= SCALES
    np.rint(table, out=table)
    return table


def _first_not_finite(rows: Iterable[Labels]) -> str:
    """Return the id of the first image with a number that is not finite."""
    return next(
        row.image.id
        for row in rows
        if not (np.isfinite(row.instances.boxes).all() and np.isfinite(row.instances.scores).all())
    )
