"""Select parts of scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.matching import IGNORED, match_boxes
from autolabel.evaluate.scene import Objects, Scene

_Int64 = npt.NDArray[np.int64]
_CROWDED = 0.5
"""A found box with so much of its area in a crowd belongs to it."""


def without_crowds(scene: Scene) -> Scene:
    """Return a scene without its crowds and without the boxes found in them."""
    if not scene.crowds.any():
        return scene
    kept = np.flatnonzero(match_boxes(scene, _CROWDED) != IGNORED)
    return replace(
        with_labelled(scene, np.flatnonzero(~scene.crowds)),
        found=_chosen(scene.found, kept),
        scores=scene.scores[kept],
        rounds=scene.rounds[kept],
        shares=scene.shares[kept],
    )


def with_labelled(scene: Scene, kept: _Int64) -> Scene:
    """Return a scene with only the labelled boxes at these indices."""
    return replace(
        scene,
        true=_chosen(scene.true, kept),
        crowds=scene.crowds[kept],
        areas=scene.areas[kept],
        broken=scene.broken[kept],
    )


def _chosen(objects: Objects, kept: _Int64) -> Objects:
    """Return the objects at these indices."""
    return Objects(
        boxes=objects.boxes[kept],
        classes=objects.classes[kept],
        masks=tuple(objects.masks[place] for place in kept.tolist()),
        ids=tuple(objects.ids[place] for place in kept.tolist()),
    )
