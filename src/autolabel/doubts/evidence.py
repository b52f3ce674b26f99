"""Features of labelled and found boxes for the error classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.matching import _UNMATCHED, match_boxes
from autolabel.evaluate.scene import Scene
from autolabel.results.score_curves import logit
from autolabel.types.boxes import iou

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SAME = 0.5
"""The minimum IoU at which a found box supports a labelled one."""
_NEAR = 0.1
"""The minimum IoU at which a labelled box may be a misplaced box of its class; from SAME on it is the same box."""
ODD = 3.0
"""A box is odd from so many robust standard deviations of log side length on."""
_SPREAD = 0.1
"""Added to every class's spread of log side lengths: a class of few boxes has none of its own."""
_MAD = 1.4826
"""Times the median absolute deviation is the standard deviation of a normal distribution."""
_EDGE = 2.0
"""Pixels from the image's edge up to which a box may be cut by it."""


@dataclass(frozen=True, slots=True)
class UsualSizes:
    """The usual sizes of each class: median and spread of the logarithms of width and height, (2,) each."""

    of: Mapping[int, tuple[Float64, Float64]]

    @classmethod
    def over(cls, scenes: Iterable[Scene]) -> UsualSizes:
        """Learn them from labelled boxes, with medians because some boxes are wrong."""
        parts = [(scene.true.classes, log_sides(scene.true.boxes)) for scene in scenes]
        classes = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int64)])
        sides = np.concatenate([part[1] for part in parts] or [np.zeros((0, 2))])
        return cls({number: usual(sides[classes == number]) for number in np.unique(classes).tolist()})

    def odd(self, boxes: Float64, classes: Int64) -> Float64:
        """Return (N, 2) deviations of width and height from the medians of the class, in spreads; 0 if unknown."""
        out = np.zeros((len(boxes), 2))
        for number in np.unique(classes).tolist():
            if number in self.of:
                median, spread = self.of[number]
                mine = classes == number
                out[mine] = (log_sides(boxes[mine]) - median) / spread
        return out


def log_sides(boxes: Float64) -> Float64:
    """Return (N, 2) logarithms of width and height, at least 1 pixel."""
    return np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0))


def usual(sides: Float64) -> tuple[Float64, Float64]:
    """Return the median and the robust spread of (N, 2) log sides."""
    median = np.median(sides, axis=0)
    return median, _MAD * np.median(np.abs(sides - median), axis=0) + _SPREAD


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """The evidence of one scene with T labelled and F found boxes."""

    labelled: Float64
    """(T, 13) columns: what was found there, and how usual size and surroundings are."""
    open: Int64
    """(M,) places of the found boxes that no labelled box claims."""
    found: Float64
    """(M, 10) columns of those."""
    claimed: Int64
    """(T,) the found box that a labelled box claims, UNMATCHED where none."""
    other: Int64
    """(T,) the surest found box of another class in its place, UNMATCHED where none."""
    near: Int64
    """(T,) the surest found box of its class nearby that nothing claims, UNMATCHED where none."""
    clash: Int64
    """(T,) the labelled box of another class that overlaps it most, by SAME at least, UNMATCHED where none."""
    odd: Float64
    """(T,) by how many spreads its size differs from its class's."""


def gather_evidence(scene: Scene, sizes: UsualSizes) -> Evidence:
    """Return the evidence about a scene without crowds."""
    true, found = scene.true, scene.found
    matched = match_boxes(scene, SAME)
    claimed = np.full(len(true), _UNMATCHED, np.int64)
    claimed[matched[matched >= 0]] = np.flatnonzero(matched >= 0)
    overlap = iou(true.boxes, found.boxes)
    same = true.classes[:, None] == found.classes[None, :]
    here = overlap >= SAME
    free = (matched < 0)[None, :]
    other, other_score = _surest(~same & here, scene.scores)
    near, near_score = _surest(same & (overlap >= _NEAR) & ~here & free, scene.scores)
    own = scores_at(claimed, scene.scores)
    beside = iou(true.boxes, true.boxes)
    np.fill_diagonal(beside, 0)
    alike = true.classes[:, None] == true.classes[None, :]
    sized = sizes.odd(true.boxes, true.classes)
    labelled = np.column_stack([
        logit(own),
        np.where(claimed >= 0, overlap[np.arange(len(true)), claimed], 0) if len(found) else own,
        logit(near_score),
        logit(other_score),
        logit(other_score) - logit(own),
        logit(_highest(overlap >= _NEAR, scene.scores[None, :])),
        sized,
        np.abs(sized).max(axis=1, initial=0),
        log_sides(true.boxes).sum(axis=1),
        _highest(~alike, beside),
        _highest(alike, beside),
        _at_edge(true.boxes, scene),
    ])  # fmt: skip
    open_ones = np.flatnonzero(matched < 0)
    return Evidence(
        labelled=labelled,
        open=open_ones,
        found=_found(scene, sizes, overlap=overlap, same=same, lonely=claimed < 0)[open_ones],
        claimed=claimed,
        other=other,
        near=near,
        clash=np.where(_highest(~alike, beside) >= SAME, _furthest(np.where(alike, 0, beside)), _UNMATCHED),
        odd=np.abs(sized).max(axis=1, initial=0),
    )


def _found(scene: Scene, sizes: UsualSizes, *, overlap: Float64, same: Bools, lonely: Bools) -> Float64:
    """Return (F, 10) columns of the found boxes; ``lonely`` (T,) labelled boxes claim none."""
    found, scores = scene.found, scene.scores
    among = iou(found.boxes, found.boxes)
    np.fill_diagonal(among, 0)
    sized = sizes.odd(found.boxes, found.classes)
    return np.column_stack([
        logit(scores),
        scene.shares,
        _highest(same.T, overlap.T),
        _highest(~same.T, overlap.T),
        _highest(same.T & lonely[None, :], overlap.T),
        _highest(scores[None, :] > scores[:, None], among),
        sized,
        np.abs(sized).max(axis=1, initial=0),
        _at_edge(found.boxes, scene),
    ])  # fmt: skip


def _highest(mask: Bools, values: Float64) -> Float64:
    """Return (N,) the maximum of each row where ``mask`` (N, M) is True; 0 for rows without True."""
    out: Float64 = np.where(mask, values, 0).max(axis=1, initial=0)
    return out


def _furthest(values: Float64) -> Int64:
    """Return (N,) the index of the maximum of each row; 0 if there are no columns."""
    out: Int64 = values.argmax(axis=1) if values.shape[1] else np.zeros(len(values), np.int64)
    return out


def _surest(mask: Bools, scores: Float64) -> tuple[Int64, Float64]:
    """Return (N,) index and score of the highest-scoring box in each row of ``mask``; UNMATCHED and 0 if none."""
    masked = np.where(mask, scores[None, :], -1.0)
    place = _furthest(masked)
    best = masked.max(axis=1, initial=-1.0)
    return np.where(best >= 0, place, _UNMATCHED), np.maximum(best, 0)


def scores_at(places: Int64, scores: Float64) -> Float64:
    """Return (N,) scores by index, 0 for UNMATCHED."""
    if not len(scores):
        return np.zeros(len(places))
    out: Float64 = np.where(places >= 0, scores[places], 0.0)
    return out


def _at_edge(boxes: Float64, scene: Scene) -> Float64:
    """Return (N,) 1 if a box touches the image's edge, else 0."""
    height, width = scene.size
    outer = np.array([width, height]) - _EDGE
    touches = (boxes[:, :2] <= _EDGE).any(axis=1) | (boxes[:, 2:] >= outer).any(axis=1)
    return np.asarray(touches, np.float64)
