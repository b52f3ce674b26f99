"""Generated scenes: masks, boxes and phrases agree with each other and with the pixels."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from training.detector.paint import COLOURS, TEXTURES, textured
from training.detector.phrases import COUNT, KINDS, RELATION, SHAPES, SIZE, TEXTURE, parse
from training.detector.scenes import Scene, draw_scene, mask_box, outline

SIDE = 96
BACKGROUND = np.full((120, 160, 3), 127, np.uint8)


def _scene(seed: int, kind: str = "colour") -> Scene:
    return draw_scene(BACKGROUND, SIDE, rng=random.Random(seed), most_shapes=6, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_boxes_and_masks_agree(seed: int, kind: str) -> None:
    scene = _scene(seed, kind)
    assert len(scene.boxes) == len(scene.masks) == len(scene.phrases) > 0
    assert scene.pixels.shape == (SIDE, SIDE, 3)
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
    margin = np.zeros((SIDE, SIDE), bool)
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


@pytest.mark.parametrize("seed", range(12))
def test_small_and_large_are_sizes_in_the_picture(seed: int) -> None:
    scene = _scene(seed, SIZE)
    for box, phrase in zip(scene.boxes, scene.phrases, strict=True):
        longer = max(box[2] - box[0], box[3] - box[1]) / SIDE
        assert (longer < 0.25) == (parse(phrase).size == "small"), phrase
        assert longer > 0.08


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_has_two_tones_of_one_colour(texture: str) -> None:
    flat = np.full((60, 60, 3), (220, 30, 30), np.float32)
    tones, counts = np.unique(
        textured(flat, texture, radius=12, rng=random.Random(1)).reshape(-1, 3), axis=0, return_counts=True
    )
    if texture == "plain":
        assert len(tones) == 1
        return
    assert len(tones) == 2
    assert tones[0] / tones[1] == pytest.approx([0.35] * 3)
    assert 0.2 < counts[0] / 3600 < 0.6


def test_dark_colours_have_a_lighter_second_tone() -> None:
    flat = np.full((60, 60, 3), 20, np.float32)
    assert textured(flat, "striped", radius=12, rng=random.Random(1)).max() > 150


@pytest.mark.parametrize("seed", range(12))
def test_textured_shapes_show_their_texture(seed: int) -> None:
    scene = _scene(seed, TEXTURE)
    for mask, phrase in zip(scene.masks, scene.phrases, strict=True):
        spread = scene.pixels[mask].std(0).max()
        assert (spread < 30) == (parse(phrase).texture == "plain"), phrase


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_the_scene(seed: int) -> None:
    said = Counter(_scene(seed, COUNT).phrases)
    words = ("one", "two", "three", "four", "five", "six")
    assert all(parse(phrase).count == words[times - 1] for phrase, times in said.items())
    things = [parse(phrase).thing for phrase in said]
    assert len(things) == len(set(things))


@pytest.mark.parametrize("seed", range(12))
def test_relations_hold_between_the_boxes_of_the_scene(seed: int) -> None:
    scene = _scene(seed, RELATION)
    said = [parse(phrase) for phrase in scene.phrases]
    boxes = {each.thing: box for each, box in zip(said, scene.boxes, strict=True)}
    assert len(boxes) == len(said)
    for each in said:
        if each.relation is None:
            continue
        box, other = boxes[each.thing], boxes[each.other or ""]
        holds = {
            "left of": box[2] <= other[0],
            "right of": box[0] >= other[2],
            "above": box[3] <= other[1],
            "below": box[1] >= other[3],
        }
        assert holds[each.relation], each.text


def test_scenes_with_relations_have_some() -> None:
    said = [parse(phrase) for seed in range(12) for phrase in _scene(seed, RELATION).phrases]
    assert {each.relation for each in said} > {"left of", "right of", "above", "below"}
