"""Match found boxes to true objects: each object is matched once, to the highest-scoring box of its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.scene import Scene
from autolabel.types.boxes import areas, iou

_Int64 = npt.NDArray[np.int64]
_UNMATCHED, IGNORED = -1, -2


def match_boxes(scene: Scene, threshold: float) -> _Int64:
    """Return for each found box the index of its true object, UNMATCHED, or IGNORED for a box in a crowd.

    As in COCO's evaluation: in descending order of score, each box is matched to the free object of its class that it
    overlaps most, if by ``threshold`` or more. Returns (M,) for M found boxes.
    """
    found, true = scene.found, scene.true
    out = np.full(len(found), _UNMATCHED, np.int64)
    overlap = iou(found.boxes, true.boxes)
    overlap[found.classes[:, None] != true.classes[None, :]] = 0
    overlap[:, scene.crowds] = 0
    for index in np.argsort(-scene.scores, kind="stable").tolist() if len(true) else ():
        best = int(overlap[index].argmax())
        if overlap[index, best] >= threshold:
            out[index] = best
            overlap[:, best] = 0
    lost = out == _UNMATCHED
    out[lost & _in_crowd(scene, threshold)] = IGNORED
    return out


def _in_crowd(scene: Scene, threshold: float) -> npt.NDArray[np.bool_]:
    """Return a mask (M,) of found boxes with at least ``threshold`` of their area inside a crowd of their class."""
    found, crowds = scene.found, scene.true.boxes[scene.crowds]
    sides = np.minimum(found.boxes[:, None, 2:], crowds[None, :, 2:]) - np.maximum(
        found.boxes[:, None, :2], crowds[None, :, :2]
    )
    inside = np.maximum(sides, 0).prod(axis=2)
    same = found.classes[:, None] == scene.true.classes[scene.crowds][None, :]
    return np.asarray(((inside >= threshold * areas(found.boxes)[:, None]) & same & (inside > 0)).any(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Right, wrong and missed boxes of one class, at the thresholds of the run."""

    name: str
    true: int
    found: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of the found boxes that are right; None if none was found."""
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """Share of the true objects that were found; None if there are none."""
        return self.right / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; None if there is neither a true nor a found one."""
        return 2 * self.right / (self.true + self.found) if self.true + self.found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCount:
    """The boxes of one round; round -1 stands for given boxes."""

    round: int
    found: int
    right: int
    wrong: int
    recall: float | None
    """Share of all true objects that this and the rounds before found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """The number of objects of one class that were labelled as another."""

    true: str
    found: str
    count: int


def count_classes(scenes: Sequence[Scene], matches: Sequence[_Int64], classes: Sequence[str]) -> list[ClassCount]:
    """Return the counts of every class, in order, without crowds and the boxes in them."""
    true, found, right = (np.zeros(len(classes), np.int64) for _ in range(3))
    for scene, matched in zip(scenes, matches, strict=True):
        true += np.bincount(scene.true.classes[~scene.crowds], minlength=len(classes))
        found += np.bincount(scene.found.classes[matched != IGNORED], minlength=len(classes))
        right += np.bincount(scene.found.classes[matched >= 0], minlength=len(classes))
    rows = zip(classes, true.tolist(), found.tolist(), right.tolist(), strict=True)
    return [ClassCount(name=name, true=t, found=f, right=r) for name, t, f, r in rows]


def count_rounds(scenes: Sequence[Scene], matches: Sequence[_Int64]) -> list[RoundCount]:
    """Return the counts of each round that found boxes, in order."""
    found: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for scene, matched in zip(scenes, matches, strict=True):
        found.update(scene.rounds[matched != IGNORED].tolist())
        right.update(scene.rounds[matched >= 0].tolist())
    total = sum(int((~scene.crowds).sum()) for scene in scenes)
    reached, out = 0, []
    for number in sorted(found):
        reached += right[number]
        recall = reached / total if total else None
        wrong = found[number] - right[number]
        out.append(RoundCount(round=number, found=found[number], right=right[number], wrong=wrong, recall=recall))
    return out


def count_confusions(
    scenes: Sequence[Scene], matches: Sequence[_Int64], classes: Sequence[str], *, threshold: float
) -> list[Confusion]:
    """Count missed objects that overlap a wrong box of another class, by pair of classes, most frequent first."""
    counts: Counter[tuple[int, int]] = Counter()
    for scene, matched in zip(scenes, matches, strict=True):
        missed = np.setdiff1d(np.flatnonzero(~scene.crowds), matched[matched >= 0])
        wrong = np.flatnonzero(matched == _UNMATCHED)
        overlap = iou(scene.found.boxes[wrong], scene.true.boxes[missed])
        for place in np.argsort(-scene.scores[wrong], kind="stable").tolist() if len(missed) else ():
            best = int(overlap[place].argmax())
            if overlap[place, best] >= threshold:
                counts[int(scene.true.classes[missed[best]]), int(scene.found.classes[wrong[place]])] += 1
                overlap[:, best] = 0
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(true=classes[a], found=classes[b], count=count) for (a, b), count in ordered if a != b]
