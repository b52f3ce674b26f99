"""How many boxes of one answer another answer has too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from autolabel.types import Instances
from autolabel.types.boxes import iou


@dataclass
class Matched:
    """Boxes of a reference above a score, and how many are found again."""

    above: float = 0.3
    overlap: float = 0.95
    boxes: int = 0
    found: int = 0
    score: float = 0.0
    """The largest difference of scores of a box and the one that it was found as."""

    @property
    def share(self) -> float:
        """Return the share of boxes that were found again; 1 if there are none."""
        return self.found / self.boxes if self.boxes else 1.0

    def take(self, reference: Instances, other: Instances) -> None:
        """Compare two answers for one image: each box takes the one of its class that overlaps it most."""
        for label in np.unique(reference.labels):
            mine = (reference.labels == label) & (reference.scores > self.above)
            theirs = other.labels == label
            self.boxes += int(mine.sum())
            if not mine.any() or not theirs.any():
                continue
            overlaps = iou(reference.boxes[mine], other.boxes[theirs])
            best = overlaps.argmax(1)
            same = overlaps.max(1) >= self.overlap
            self.found += int(same.sum())
            apart = np.abs(reference.scores[mine] - other.scores[theirs][best])[same]
            self.score = max(self.score, float(apart.max(initial=0)))


def matched(pairs: Iterable[tuple[Instances, Instances]], *, above: float = 0.3, overlap: float = 0.95) -> Matched:
    """Return how well the second of each pair has what the first has."""
    result = Matched(above, overlap)
    for reference, other in pairs:
        result.take(reference, other)
    return result
