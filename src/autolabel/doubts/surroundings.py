"""Evidence against a box besides its score: missing looks, overlapping boxes, unusual size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autolabel.certify.units import Units
from autolabel.doubts.evidence import Float64, Int64, log_sides, usual
from autolabel.types.boxes import iou

_CLASH = 0.5
"""The minimum IoU at which boxes of different classes are about one object."""
_OFTEN_ODD = 2.0
"""Up to so many spreads, a size says nothing against a box."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surroundings:
    """The surroundings of F boxes."""

    clash: Int64
    """(F,) the place of the surest box of another class in its place, -1 if there is none."""
    overlap: Float64
    """(F,) by how much the two overlap."""
    odd: Float64
    """(F,) by how many spreads its size differs from its class's."""
    support: Float64
    """(F,) the share of the looks that saw it."""

    @classmethod
    def of(cls, units: Units) -> Surroundings:
        """Compute the surroundings of the boxes of a run."""
        clash, overlap = _clashes(units)
        return cls(clash=clash, overlap=overlap, odd=_odd(units), support=np.frombuffer(units.support, np.float64))

    def against(self) -> Float64:
        """Return (F, 3) numbers from 0 to 1: share of looks that missed a box, its overlap, how unusual its size is."""
        odd = np.clip((self.odd - _OFTEN_ODD) / (2 * _OFTEN_ODD), 0, 1)
        return np.column_stack([1 - self.support, self.overlap, odd])


def _clashes(units: Units) -> tuple[Int64, Float64]:
    """Return the highest-scoring overlapping box of another class for each box, and its overlap."""
    boxes = np.frombuffer(units.corners, np.float64).reshape(-1, 4)
    classes, scores = np.frombuffer(units.box_classes, np.int64), np.frombuffer(units.scores, np.float64)
    clash, overlaps = np.full(len(boxes), -1, np.int64), np.zeros(len(boxes))
    for start, end in _rows(units):
        part = slice(start, end)
        overlap = iou(boxes[part], boxes[part])
        overlap[(classes[part, None] == classes[None, part]) | (overlap < _CLASH)] = 0
        rank = np.where(overlap > 0, scores[None, part], -1)
        best = rank.argmax(axis=1)
        there = rank.max(axis=1) >= 0
        clash[part] = np.where(there, best + start, -1)
        overlaps[part] = np.where(there, overlap[np.arange(end - start), best], 0)
    return clash, overlaps


def _rows(units: Units) -> Iterator[tuple[int, int]]:
    """Yield where the boxes of each row with boxes begin and end."""
    rows = np.frombuffer(units.box_rows, np.int64)
    starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1])) if len(rows) else np.zeros(0, np.int64)
    yield from zip(starts.tolist(), np.append(starts[1:], len(rows)).tolist(), strict=True)


def _odd(units: Units) -> Float64:
    boxes = np.frombuffer(units.corners, np.float64).reshape(-1, 4)
    classes, sides = np.frombuffer(units.box_classes, np.int64), log_sides(boxes)
    out = np.zeros(len(boxes))
    for number in np.unique(classes).tolist():
        mine = classes == number
        median, spread = usual(sides[mine])
        out[mine] = np.abs((sides[mine] - median) / spread).max(axis=1)
    return out
