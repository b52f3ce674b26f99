"""Trace the boxes that an aggregator kept to their candidates, by aggregating parts of the union."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.types import Instances
from autolabel.types.boxes import iou

_SAME_PLACE, _SAME_SCORE = 1e-4, 1e-6
_Aggregate = Callable[[Instances], Instances]
_CandidateSet = tuple[int, ...]
"""Ascending indices of candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The source candidates of M kept boxes, and the box that displaced each other candidate."""

    sources: tuple[_CandidateSet, ...]
    """(M,) the candidates of each box: aggregated alone they give the same box, and with any one less they do not."""
    displaced: dict[int, int | None]
    """Candidates that are in no box, and the box beside which each is not kept; None if no single box is it."""

    def displaced_by(self, box: int) -> _CandidateSet:
        """Return the candidates that a box displaced."""
        return tuple(candidate for candidate, by in self.displaced.items() if by == box)


def trace_box(aggregate: _Aggregate, union: Instances, kept: Instances) -> Lineage:
    """Return the lineage of ``kept``, the result of ``aggregate(union)`` for any aggregator.

    Calls ``aggregate`` several times for every box and every candidate. If nothing is kept, all candidates are
    displaced by None.
    """
    sources = tuple(_sources_of(aggregate, union, kept.take([box])) for box in range(len(kept)))
    used = {candidate for part in sources for candidate in part}
    lost = [candidate for candidate in range(len(union)) if candidate not in used]
    displaced = {candidate: _displacer(aggregate, union, candidate, kept, sources) for candidate in lost}
    return Lineage(sources=sources, displaced=displaced)


def _sources_of(aggregate: _Aggregate, union: Instances, box: Instances) -> _CandidateSet:
    """Return the candidates that produce one kept box: the nearest sufficient ones, reduced to a minimal set."""
    near = _by_nearness(union, box)
    size = 1
    while size < len(near) and not gives(aggregate, union, near[:size], box):
        size *= 2
    return tuple(sorted(_shrunk(aggregate, union, near[:size], box)))


def _by_nearness(union: Instances, box: Instances) -> list[int]:
    """Return all candidates by overlap with a box, descending; ties by equal label and score."""
    overlap = iou(union.boxes, box.boxes)[:, 0]
    other, off = union.labels != box.labels[0], np.abs(union.scores - box.scores[0])
    order: list[int] = np.lexsort((off, other, -overlap)).tolist()
    return order


def _shrunk(aggregate: _Aggregate, union: Instances, part: Sequence[int], box: Instances) -> list[int]:
    """Return a minimal part that gives the same box, removing the farthest candidates first."""
    left, step = list(part), max(1, len(part) // 2)
    while True:
        before = len(left)
        for start in reversed(range(0, len(left), step)):
            rest = left[:start] + left[start + step :]
            if rest and gives(aggregate, union, rest, box):
                left = rest
        if step == 1 and len(left) == before:
            return left
        step = max(1, step // 2)


def _displacer(
    aggregate: _Aggregate, union: Instances, candidate: int, kept: Instances, sources: Sequence[_CandidateSet]
) -> int | None:
    """Return the kept box that alone suppresses a candidate, the nearest of several."""
    itself = union.take([candidate])
    if not gives(aggregate, union, [candidate], itself):
        return None
    overlap = iou(itself.boxes, kept.boxes)[0]
    for box in np.argsort(-overlap, kind="stable").tolist():
        if overlap[box] > 0 and not _survives(aggregate, union, candidate, sources[box]):
            return int(box)
    return None


def _survives(aggregate: _Aggregate, union: Instances, candidate: int, part: _CandidateSet) -> bool:
    """Return whether a candidate is still a separate box, of any score, after aggregation with a part."""
    found = aggregate(union.take(sorted((*part, candidate))))
    itself = union.take([candidate])
    return any(found.labels[place] == itself.labels[0] for place in _at_place(found, itself))


def gives(aggregate: _Aggregate, union: Instances, part: Sequence[int], box: Instances) -> bool:
    """Return whether a part of the union gives a box with equal position, label, score and round."""
    found = aggregate(union.take(sorted(part)))
    return any(
        found.labels[place] == box.labels[0]
        and found.rounds[place] == box.rounds[0]
        and abs(float(found.scores[place]) - float(box.scores[0])) <= _SAME_SCORE
        for place in _at_place(found, box)
    )


def _at_place(found: Instances, box: Instances) -> Iterator[int]:
    """Yield the indices of boxes at another box's position."""
    yield from np.flatnonzero((np.abs(found.boxes - box.boxes) <= _SAME_PLACE).all(axis=1)).tolist()
