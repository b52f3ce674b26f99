"""Judge a network on the dev sets while it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autolabel_mal.learning.mask_probes import MaskProbe, NetworkMasks, filled, mask_probes, overlaps
from autolabel_mal.network import MalNetwork

from .config import Recipe
from .pictures import load_split, make_scenes

SCENES = "scenes"
MASKED_SETS = ("coco_free", "nuts", "nuclei")
LEAST_SIDE = 24
DEV_SEED = 1_000_003


@dataclass(frozen=True)
class Validation:
    """Mean IoU inside the box and mean part of the box that is filled, per dev set; the mean IoU over the sets."""

    iou: dict[str, float]
    area: dict[str, float]
    mean: float


class Validator:
    """Dev boxes with true masks; these are read here only, never by the losses."""

    def __init__(self, asked: dict[str, list[MaskProbe]], *, threshold: float) -> None:
        self._threshold = threshold
        self._asked = {name: each for name, each in asked.items() if each}

    def __call__(self, network: MalNetwork) -> Validation | None:
        """Judge a network in evaluation mode; None where there is nothing to judge by."""
        if not self._asked:
            return None
        answers = {name: NetworkMasks(network, threshold=self._threshold)(asked) for name, asked in self._asked.items()}
        means = {name: float(overlaps(asked, answers[name]).mean()) for name, asked in self._asked.items()}
        areas = {name: float(filled(asked, answers[name]).mean()) for name, asked in self._asked.items()}
        return Validation(_rounded(means), _rounded(areas), round(float(np.mean(list(means.values()))), 4))


def dev_exams(recipe: Recipe, data: Path) -> dict[str, list[MaskProbe]]:
    """Return the dev boxes with masks of the photo sets there are, and of scenes on dev backgrounds."""
    found = {
        name: mask_probes(load_split(data, name, "dev", masks=True), smallest_side=LEAST_SIDE)
        for name in MASKED_SETS
        if name in recipe.sets and (data / name / "dev.json").exists()
    }
    if recipe.scenes is not None and recipe.scenes.dev:
        backgrounds = load_split(data, recipe.scenes.backgrounds, "dev")
        scenes = make_scenes(recipe.scenes, backgrounds, count=recipe.scenes.dev, seed=recipe.seed + DEV_SEED)
        found[SCENES] = mask_probes(scenes, smallest_side=LEAST_SIDE)
    return found


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
