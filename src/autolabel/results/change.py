"""Compare two runs over the same images: boxes gained, lost, moved, relabelled."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.types import Labels
from autolabel.types.boxes import iou

_SAME_OBJECT = 0.5
"""The minimum IoU at which two boxes are one object."""
_UNMOVED = 1.0
"""Pixels that each side of a box may be off and not have moved."""
KINDS = ("kept", "moved", "relabelled", "gained", "lost")
BINS = 10
"""The number of score bins, from 0 to 1."""

_Box = tuple[float, float, float, float]
Seen = tuple[_Box, str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object before and after; None on the side where it does not exist."""

    kind: str
    before: Seen | None
    """Box in pixels, class, score."""
    after: Seen | None

    @property
    def side(self) -> Seen:
        """Return the object before, or after if it is new."""
        side = self.before or self.after
        if side is None:
            raise ValueError("an object must be in one of the runs")
        return side

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        names = ("bbox", "phrase", "score")
        sides = {"before": self.before, "after": self.after}
        return {"kind": self.kind} | {
            side: None if one is None else dict(zip(names, (list(one[0]), *one[1:]), strict=True))
            for side, one in sides.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """The changes in one image, over all its captions."""

    image: str
    size: tuple[int, int]
    path: str
    """The path of the image; empty if unknown."""
    states: tuple[str, str]
    changes: tuple[Change, ...]

    @property
    def amount(self) -> int:
        """The number of objects that changed."""
        return sum(change.kind != "kept" for change in self.changes)


@dataclass(slots=True, kw_only=True)
class RunChange:
    """The changes between two runs."""

    images: int = 0
    """Images that both have."""
    changed: int = 0
    """Images with changes."""
    only_before: int = 0
    only_after: int = 0
    """Images that one of them has; their objects count nowhere else."""
    kinds: Counter[str] = field(default_factory=Counter)
    by_class: dict[str, Counter[str]] = field(default_factory=dict)
    """Counts of each kind by class; a relabelled object counts in the class that it left."""
    relabelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The number of images that went from one state to another."""
    scores: dict[str, list[int]] = field(default_factory=lambda: {kind: [0] * BINS for kind in ("gained", "lost")})
    """The numbers of gained and lost objects, by tenths of the score."""
    most: list[ImageChange] = field(default_factory=list)
    """The images in which most changed, most first."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "images": self.images,
            "changed": self.changed,
            "only_before": self.only_before,
            "only_after": self.only_after,
            **{kind: self.kinds[kind] for kind in KINDS},
            "by_class": {name: {kind: counts[kind] for kind in KINDS} for name, counts in self.by_class.items()},
            "relabelled_pairs": [
                {"before": a, "after": b, "count": count} for (a, b), count in self.relabelled.most_common()
            ],
            "states": [{"before": a, "after": b, "count": count} for (a, b), count in self.states.most_common()],
            "scores": self.scores,
            "images_most_changed": [
                {
                    "image": one.image,
                    "count": one.amount,
                    "changes": [c.as_dict() for c in one.changes if c.kind != "kept"],
                }
                for one in self.most
            ],
        }


def compare_runs(before: Iterable[Labels], after: Iterable[Labels], *, most: int) -> RunChange:
    """Return the changes, with the ``most`` images with the most changes.

    Both are iterated once, sorted by image id as ledgers are; memory holds one image and the result. Unchanged images
    are not included. Ties are broken by name.
    """
    out = RunChange()
    ranked: list[tuple[int, _Backwards, ImageChange]] = []
    for old, new in _side_by_side(before, after):
        if old is None or new is None:
            out.only_before += new is None
            out.only_after += old is None
            continue
        change = compare_image(old, new)
        _count(change, out)
        if change.amount or change.states[0] != change.states[1]:
            out.changed += 1
            entry = (change.amount, _Backwards(change.image), change)
            (heapq.heappush if len(ranked) < most else heapq.heappushpop)(ranked, entry)
    out.most = [change for _, _, change in sorted(ranked, key=lambda entry: entry[:2], reverse=True)]
    out.by_class = dict(sorted(out.by_class.items()))
    return out


class _Backwards(str):
    """A name with reversed order, so that ties keep the first name."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _side_by_side(
    before: Iterable[Labels], after: Iterable[Labels]
) -> Iterator[tuple[list[Labels] | None, list[Labels] | None]]:
    """Yield the rows of each image in both runs; None for a run without it."""
    olds, news = (groupby(rows, key=lambda row: row.image.id) for rows in (before, after))
    old, new = next(olds, None), next(news, None)
    while old is not None and new is not None:
        if old[0] < new[0]:
            yield list(old[1]), None
            old = next(olds, None)
        elif new[0] < old[0]:
            yield None, list(new[1])
            new = next(news, None)
        else:
            yield list(old[1]), list(new[1])
            old, new = next(olds, None), next(news, None)
    while old is not None:
        yield list(old[1]), None
        old = next(olds, None)
    while new is not None:
        yield None, list(new[1])
        new = next(news, None)


def compare_image(before: Sequence[Labels], after: Sequence[Labels]) -> ImageChange:
    """Return what changed in one image, from its rows in both runs.

    Boxes of equal class are paired first, by descending overlap of at least SAME_OBJECT: moved if a side differs by
    more than UNMOVED pixels, otherwise kept. The remaining boxes are paired across classes: relabelled.
    """
    old, new = _objects(before), _objects(after)
    changes = []
    used_old, used_new = set[int](), set[int]()
    for first, second in _pairs(old, new):
        used_old.add(first)
        used_new.add(second)
        kind = "relabelled" if old[first][1] != new[second][1] else "kept"
        off = max(abs(a - b) for a, b in zip(old[first][0], new[second][0], strict=True))
        if kind == "kept" and off > _UNMOVED:
            kind = "moved"
        changes.append(Change(kind=kind, before=old[first], after=new[second]))
    changes += [Change(kind="lost", before=one, after=None) for i, one in enumerate(old) if i not in used_old]
    changes += [Change(kind="gained", before=None, after=one) for i, one in enumerate(new) if i not in used_new]
    last = after[0].image
    states = (_state(before), _state(after))
    return ImageChange(image=last.id, size=last.size, path=last.path, states=states, changes=tuple(changes))


def _objects(rows: Sequence[Labels]) -> list[Seen]:
    out = []
    for row in rows:
        found = row.instances
        columns = zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
        out += [((b[0], b[1], b[2], b[3]), row.prompt.phrases[label], round(score, 6)) for b, label, score in columns]
    return out


def _state(rows: Sequence[Labels]) -> str:
    """Return the state of an image of several captions: labelled if any is, failed only if all are."""
    states = [row.state for row in rows]
    return next(state for state in ("labelled", "empty", "failed") if state in states)


def _pairs(old: Sequence[Seen], new: Sequence[Seen]) -> list[tuple[int, int]]:
    """Return pairs of matching objects, by their indices, in the order of the old ones."""
    if not old or not new:
        return []
    overlap = iou(_boxes(old), _boxes(new))
    same = np.asarray([[a[1] == b[1] for b in new] for a in old])
    rank = np.where(overlap >= _SAME_OBJECT, overlap + same, 0)  # equal class has priority over overlap
    candidates = np.flatnonzero(rank)
    found: dict[int, int] = {}
    taken = set[int]()
    for place in candidates[np.argsort(-rank.ravel()[candidates], kind="stable")].tolist():
        first, second = divmod(place, len(new))
        if first not in found and second not in taken:
            found[first] = second
            taken.add(second)
    return sorted(found.items())


def _boxes(objects: Sequence[Seen]) -> npt.NDArray[np.float64]:
    return np.asarray([box for box, _, _ in objects], np.float64).reshape(-1, 4)


def _count(change: ImageChange, out: RunChange) -> None:
    out.images += 1
    if change.states[0] != change.states[1]:
        out.states[change.states] += 1
    for one in change.changes:
        _, phrase, score = one.side
        out.kinds[one.kind] += 1
        out.by_class.setdefault(phrase, Counter())[one.kind] += 1
        if one.kind == "relabelled" and one.after is not None:
            out.relabelled[phrase, one.after[1]] += 1
        if one.kind in out.scores:
            out.scores[one.kind][min(BINS - 1, int(score * BINS))] += 1
