"""Made scenes: labelled objects, and a detector that finds most of them, and some that are not there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.scene import Objects, Scene

CLASSES = ("small", "large", "tall")
SIDES = np.array([[20.0, 20.0], [80.0, 80.0], [20.0, 70.0]])
RECALL = (0.6, 0.98, 0.95)
"""The small ones are often missed: that nothing was found there says little."""
NOISE = (1.5, 0.1, 0.2)
"""False boxes an image."""


def scene(boxes: npt.NDArray[np.float64], classes: list[int], found: list[tuple[list[float], int, float]]) -> Scene:
    """Return a scene of 400 x 400 pixels; ``found`` are boxes, classes and scores."""
    count = len(boxes)
    return Scene(
        size=(400, 400),
        true=objects(boxes, classes, range(count)),
        crowds=np.zeros(count, bool),
        areas=np.zeros(count),
        broken=np.zeros(count, bool),
        found=objects(np.array([box for box, _, _ in found], float).reshape(-1, 4), [name for _, name, _ in found]),
        scores=np.array([score for *_, score in found], float),
        rounds=np.zeros(len(found), np.int64),
        shares=np.ones(len(found)),
        verdicts=np.full(len(found), np.nan),
    )


def objects(boxes: npt.NDArray[np.float64], classes: list[int], ids: range | None = None) -> Objects:
    """Return objects without masks."""
    names = np.array(classes, np.int64)
    return Objects(boxes=boxes, classes=names, masks=(None,) * len(boxes), ids=tuple(ids or [None] * len(boxes)))


def photos(count: int, seed: int = 0) -> list[Scene]:
    """Return scenes with six objects each, all rightly labelled."""
    random = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        classes = random.integers(0, 3, 6)
        corners = np.stack([np.tile([20.0, 150.0, 280.0], 2), np.repeat([40.0, 230.0], 3)], axis=1)
        corners += random.uniform(0, 30, (6, 2))
        boxes = np.concatenate([corners, corners + SIDES[classes] * random.uniform(0.9, 1.1, (6, 2))], axis=1)
        found: list[tuple[list[float], int, float]] = []
        for box, name in zip(boxes, classes.tolist(), strict=True):
            if random.random() < RECALL[name]:
                found.append(((box + random.normal(0, 1, 4)).tolist(), name, float(random.uniform(0.45, 0.95))))
        for name, many in enumerate(NOISE):
            for _ in range(random.poisson(many)):
                corner = random.uniform(0, 300, 2)
                box = np.concatenate([corner, corner + SIDES[name]])
                found.append((box.tolist(), name, float(random.uniform(0.2, 0.7))))
        out.append(scene(boxes, classes.tolist(), found))
    return out
