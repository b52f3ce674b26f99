"""The dev pictures a checkpoint is judged on: photos, fresh scenes, and photos without what is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .captions import DEV_NEAR_MISSES
from .config import Recipe, SceneRecipe
from .data import Data
from .features import SCENES
from .phrases import COLOUR, KINDS, near_misses
from .scenes import draw_scene

CELLS = "bccd"
ABSENT = "absent"
SCENES_OF_KIND = {SCENES if kind == COLOUR else f"{SCENES}-{kind}": kind for kind in KINDS}


@dataclass(frozen=True)
class Picture:
    """Pixels (height, width, 3), boxes (n, 4) x0, y0, x1, y1 in 0..1 with names, and the phrases to ask for."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    names: tuple[str, ...]
    phrases: list[str]


def dev_pictures(recipe: Recipe, data: Data, dataset: str, *, scenes: int) -> Iterator[Picture]:
    """Yield the pictures of a set: each of `SCENES_OF_KIND` has `scenes`; `ABSENT` asks photos for blood cells."""
    if dataset not in (*SCENES_OF_KIND, ABSENT):
        return _photos(data, dataset)
    if recipe.scenes is None:
        raise ValueError(f"the recipe has no `scenes`, which say how `{dataset}` is drawn")
    if dataset == ABSENT:
        return _without_cells(recipe.scenes, data)
    return _scenes(recipe, recipe.scenes, data, count=scenes, kind=SCENES_OF_KIND[dataset])


def _photos(data: Data, dataset: str) -> Iterator[Picture]:
    """Yield the dev photos of a set, each asked for every class name of the set."""
    names = data.names(dataset)
    for photo in data.photos(dataset, "dev"):
        pixels = photo.pixels()
        unit = np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float32)
        yield Picture(pixels, photo.boxes / unit, photo.names, names)


def _without_cells(scenes: SceneRecipe, data: Data) -> Iterator[Picture]:
    """Yield the dev photos that scenes are drawn on, asked for blood cells: none shows one."""
    names = data.names(CELLS)
    for photo in data.photos(scenes.backgrounds, "dev"):
        yield Picture(photo.pixels(), np.zeros((0, 4), np.float32), (), names)


def _scenes(recipe: Recipe, scenes: SceneRecipe, data: Data, *, count: int, kind: str) -> Iterator[Picture]:
    """Yield fresh scenes of a kind on dev backgrounds, asked for their phrases and four near misses."""
    rng = random.Random(f"{recipe.seed}-evaluate")
    backgrounds = data.photos(scenes.backgrounds, "dev")
    for _ in range(count):
        background = rng.choice(backgrounds).pixels()
        scene = draw_scene(background, recipe.image_size, rng=rng, most_shapes=scenes.most_shapes, kind=kind)
        present = sorted(set(scene.phrases))
        phrases = present + near_misses(present, rng=rng, count=DEV_NEAR_MISSES)
        rng.shuffle(phrases)
        yield Picture(scene.pixels, scene.boxes / np.float32(recipe.image_size), scene.phrases, phrases)
