"""Plant errors in labelled boxes, as training data for the error classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autolabel.doubts.evidence import SAME, Bools, Float64, Int64
from autolabel.doubts.scene_parts import with_labelled
from autolabel.evaluate.scene import Objects, Scene
from autolabel.types.boxes import iou

_RIGHT, _REMOVED, _MOVED, _RENAMED = range(4)
_SHARE = 0.03
"""The share of boxes that get each kind of error."""
_FARTHEST = 1.0
"""A moved box's centre goes up to so many sides away."""
_SCALES = (0.7, 1.4)
"""A moved box's sides change by a factor between these."""
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Planted:
    """A scene with errors in it."""

    scene: Scene
    wrong: Bools
    """(T,) which of its labelled boxes were moved or renamed."""
    bare: Float64
    """(B, 4) places of objects that have no labelled box any more: those removed, those moved away."""
    bare_classes: Int64


def plant(scene: Scene, classes: int, random: np.random.Generator) -> _Planted:
    """Return a scene in which _SHARE of the labelled boxes are removed, as many moved, and as many given another class.

    With a single class, no box is given another class.
    """
    true = scene.true
    kinds = random.choice(4, len(true), p=[1 - 3 * _SHARE, _SHARE, _SHARE, _SHARE])
    kinds[(kinds == _RENAMED) & (classes < 2)] = _RIGHT
    boxes, names = true.boxes.copy(), true.classes.copy()
    for place in np.flatnonzero(kinds == _MOVED).tolist():
        boxes[place] = _moved(boxes[place], scene, random)
    renamed = kinds == _RENAMED
    names[renamed] = (names[renamed] + random.integers(1, max(2, classes), int(renamed.sum()))) % max(1, classes)
    changed = replace(scene, true=Objects(boxes=boxes, classes=names, masks=true.masks, ids=true.ids))
    kept = np.flatnonzero(kinds != _REMOVED)
    bare = (kinds == _REMOVED) | (kinds == _MOVED)
    return _Planted(
        scene=with_labelled(changed, kept),
        wrong=kinds[kept] != _RIGHT,
        bare=true.boxes[bare],
        bare_classes=true.classes[bare],
    )


def _moved(box: Float64, scene: Scene, random: np.random.Generator) -> Float64:
    """Return a box moved and resized at random inside its image, until it overlaps its old place by less than SAME."""
    height, width = scene.size
    sides, centre = box[2:] - box[:2], (box[:2] + box[2:]) / 2
    place: Float64 = box
    for _ in range(_TRIES):
        half = sides * random.uniform(*_SCALES, 2) / 2
        middle = centre + random.uniform(-_FARTHEST, _FARTHEST, 2) * sides
        place = np.clip(np.concatenate([middle - half, middle + half]), 0, [width, height, width, height])
        if (place[2:] - place[:2] >= 1).all() and iou(place[None], box[None])[0, 0] < SAME:
            break
    return place


def lies_bare(planted: _Planted, boxes: Float64, classes: Int64) -> Bools:
    """Return a mask (N,) of found boxes that lie on an object of their class whose label was removed."""
    overlap = iou(boxes, planted.bare)
    overlap[classes[:, None] != planted.bare_classes[None, :]] = 0
    out: Bools = overlap.max(axis=1, initial=0) >= SAME
    return out
