"""Generated scenes: masks, boxes and phrases agree with each other and with the pixels."""

from __future__ import annotations

import random

import numpy as np
import pytest
from training.detector.scenes import COLOURS, SHAPES, Scene, draw_scene, mask_box, near_misses, outline

SIZE = 96
BACKGROUND = np.full((120, 160, 3), 127, np.uint8)


def _scene(seed: int) -> Scene:
    return draw_scene(BACKGROUND, SIZE, rng=random.Random(seed), most_shapes=6)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_and_masks_agree(seed: int) -> None:
    scene = _scene(seed)
    assert len(scene.boxes) == len(scene.masks) == len(scene.phrases) > 0
    assert scene.pixels.shape == (SIZE, SIZE, 3)
    for box, mask in zip(scene.boxes, scene.masks, strict=True):
        assert tuple(box) == mask_box(mask)
    assert scene.masks.sum(0).max() == 1


@pytest.mark.parametrize("seed", range(12))
def test_the_named_colour_is_the_nearest_one_inside_the_mask(seed: int) -> None:
    scene = _scene(seed)
    palette = np.array(list(COLOURS.values()), np.float64)
    for phrase, mask in zip(scene.phrases, scene.masks, strict=True):
        mean = scene.pixels[mask].mean(0)
        nearest = list(COLOURS)[int(np.abs(palette - mean).sum(1).argmin())]
        assert nearest == phrase.split()[0]


def test_outside_the_masks_the_background_stays() -> None:
    scene = _scene(3)
    margin = np.zeros((SIZE, SIZE), bool)
    for x0, y0, x1, y1 in scene.boxes.astype(int):
        margin[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = True
    assert (scene.pixels[~margin] == 127).all()


def test_the_same_seed_gives_the_same_scene() -> None:
    first, second = _scene(5), _scene(5)
    assert (first.pixels == second.pixels).all()
    assert first.phrases == second.phrases


def test_a_ring_has_a_hole_and_a_circle_has_none() -> None:
    assert len(outline("ring", 10)) == len(outline("circle", 10))
    holes = {}
    for seed in range(60):
        scene = _scene(seed)
        for box, mask, phrase in zip(scene.boxes.astype(int), scene.masks, scene.phrases, strict=True):
            centre = mask[(box[1] + box[3]) // 2, (box[0] + box[2]) // 2]
            holes.setdefault(phrase.split()[1], set()).add(bool(centre))
    assert holes["ring"] == {False}
    assert holes["circle"] == {True}


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_are_about_as_large_as_asked(shape: str) -> None:
    reach = np.abs(outline(shape, 10.0)).max()
    assert 8 < reach < 13


def test_near_misses_are_absent_and_near() -> None:
    phrases = ["red star", "blue ring"]
    found = near_misses(phrases, rng=random.Random(0), count=6)
    assert len(set(found)) == 6
    assert not set(found) & set(phrases)
    assert all(set(phrase.split()) & {"red", "star", "blue", "ring"} for phrase in found)
