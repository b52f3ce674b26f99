"""Likely errors come first, each with what speaks for it."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import msgspec
import numpy as np
import pytest

from autolabel.doubts.doubt import KINDS, Doubts, LabelDoubt, doubts_schema
from autolabel.doubts.rank import by_chance, chance_of_any, rank
from autolabel.doubts.scene_parts import with_labelled
from autolabel.evaluate.scene import Scene
from benchmarks.doubts import by_doubts, by_score, counted, plant, with_numbers
from tests.doubts.scenes import CLASSES, photos, scene


def first_about(scenes: list[Scene], image: int) -> LabelDoubt:
    """Return the likeliest error of one image."""
    names = [str(number) for number in range(len(scenes))]
    return by_chance(rank(scenes, names, CLASSES)[image].doubts)[0]


@pytest.mark.parametrize("seed", range(3))
def test_planted_errors_come_earlier_than_by_score_alone(seed: int) -> None:
    wrong, errors = plant(photos(80, seed), len(CLASSES), 0.1, each=False, seed=seed)
    ours = counted(by_doubts([with_numbers(one) for one in wrong], CLASSES), errors)
    plain = counted(by_score(wrong), errors)
    assert len(errors) == 48
    assert ours[0] > plain[0] and ours[1] > plain[1] + 0.1, (ours, plain)


def test_a_box_that_is_missing_is_told_with_its_place() -> None:
    scenes = photos(30)
    large = int(np.flatnonzero(scenes[0].true.classes == 1)[0])
    scenes[0] = with_labelled(scenes[0], np.delete(np.arange(6), large))
    told = first_about(scenes, 0)
    assert (told.kind, told.phrase, told.annotation, told.seen) == ("missing", "large", None, None)
    assert told.score is not None and told.score > 0.4


def test_a_box_of_another_class_is_told_with_what_was_found() -> None:
    scenes = photos(30)
    classes = scenes[0].true.classes.copy()
    large = int(np.flatnonzero(classes == 1)[0])
    classes[large] = 0
    scenes[0] = replace(scenes[0], true=replace(scenes[0].true, classes=classes))
    told = first_about(scenes, 0)
    assert (told.kind, told.phrase, told.annotation) == ("class", "small", large)
    assert told.seen is not None and told.seen.phrase == "large"


def test_a_box_that_lies_beside_its_object_is_told_with_where_it_was_found() -> None:
    scenes = photos(30)
    boxes = scenes[0].true.boxes.copy()
    large = int(np.flatnonzero(scenes[0].true.classes == 1)[0])
    boxes[large] += 30
    scenes[0] = replace(scenes[0], true=replace(scenes[0].true, boxes=boxes))
    told = first_about(scenes, 0)
    assert (told.kind, told.annotation) == ("place", large)
    assert told.seen is not None and np.abs(np.array(told.seen.bbox) + 30 - boxes[large]).max() < 6


def test_two_classes_on_one_object_are_told() -> None:
    box = [100.0, 100.0, 180.0, 180.0]
    scenes = photos(30)
    scenes[0] = scene(np.array([box, box]), [1, 0], [(box, 1, 0.9)])
    both = rank(scenes, [str(number) for number in range(30)], CLASSES)[0].doubts
    assert {(one.kind, one.phrase) for one in both} >= {("class", "small")}
    scenes[0] = scene(np.array([box, box]), [1, 0], [])
    both = rank(scenes, [str(number) for number in range(30)], CLASSES)[0].doubts
    assert [one.kind for one in both] == ["overlap", "overlap"]


def test_a_size_that_no_other_box_of_its_class_has_is_told() -> None:
    scenes = photos(30)
    box = [10.0, 10.0, 350.0, 350.0]
    scenes[0] = scene(np.array([box]), [0], [(box, 0, 0.9)])
    [told] = rank(scenes, [str(number) for number in range(30)], CLASSES)[0].doubts
    assert told.kind == "size"
    usual = [one.chance for image in rank(photos(30), ["x"] * 30, CLASSES) for one in image.doubts if one.score]
    assert told.chance > np.median(usual)


def test_crowds_say_nothing() -> None:
    scenes = photos(10)
    first = scenes[0]
    crowds = np.zeros(6, bool)
    crowds[0] = True
    told = rank([replace(first, crowds=crowds), *scenes[1:]], [str(n) for n in range(10)], CLASSES)[0].doubts
    assert 0 not in {one.annotation for one in told}


def test_with_little_to_learn_from_the_score_orders() -> None:
    box = [10.0, 10.0, 60.0, 60.0]
    one = scene(np.array([box]), [1], [(box, 1, 0.3), ([200.0, 200.0, 260.0, 260.0], 1, 0.8)])
    [told] = rank([one], ["a"], CLASSES)
    assert sorted((doubt.kind, doubt.chance) for doubt in told.doubts) == [("missing", 0.8), ("unsupported", 0.7)]


def test_nothing_labelled_and_nothing_found() -> None:
    empty = scene(np.zeros((0, 4)), [], [])
    assert [one.doubts for one in rank([empty, empty], ["a", "b"], CLASSES)] == [(), ()]
    assert rank([], [], CLASSES) == []
    assert chance_of_any([]) == 0


def test_the_same_doubts_each_time() -> None:
    scenes, names = photos(12), [str(number) for number in range(12)]
    assert rank(scenes, names, CLASSES) == rank(scenes, names, CLASSES)


def test_what_is_told_keeps_to_the_schema() -> None:
    doubts = by_chance([one for image in rank(photos(12), list("abcdefghijkl"), CLASSES) for one in image.doubts])
    made = Doubts(plan="p", truth=None, images_compared=12, boxes_compared=72, boxes=tuple(doubts), images=())
    jsonschema.validate(json.loads(msgspec.json.encode(made)), doubts_schema())
    assert {one.kind for one in doubts} <= set(KINDS)
