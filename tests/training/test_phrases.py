"""Phrases of scenes: what they say, and phrases that nothing in the scene answers."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from training.detector.phrases import Description, near_misses, parse

SAID = {
    "red star": Description("red", "star"),
    "large blue cross": Description("blue", "cross", size="large"),
    "dotted white ring": Description("white", "ring", texture="dotted"),
    "one black heart": Description("black", "heart", count="one"),
    "two red crosses": Description("red", "cross", count="two"),
    "three green circles": Description("green", "circle", count="three"),
    "red star left of blue circle": Description("red", "star", relation="left of", other="blue circle"),
    "black ring above green heart": Description("black", "ring", relation="above", other="green heart"),
}


@pytest.mark.parametrize("text", SAID)
def test_a_phrase_and_what_it_says(text: str) -> None:
    assert parse(text) == SAID[text]
    assert SAID[text].text == text


@pytest.mark.parametrize(
    "text", ["red apple", "huge red star", "pink star", "large large red star", "large small red star"]
)
def test_other_phrases_are_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=f'no phrase of a scene: "{text}"'):
        parse(text)


@pytest.mark.parametrize("phrases", [["red star", "blue ring"], ["large red star"], ["two red stars", "one blue ring"]])
def test_near_misses_are_absent_and_near(phrases: list[str]) -> None:
    found = near_misses(phrases, rng=random.Random(0), count=6)
    assert len(set(found)) == 6
    assert not set(found) & set(phrases)
    for phrase in found:
        said = asdict(parse(phrase))
        assert min(sum(said[field] != value for field, value in asdict(parse(each)).items()) for each in phrases) == 1


def test_near_misses_change_the_mark_about_half_of_the_time() -> None:
    for phrase, other in (
        ("large red star", "small red star"),
        ("red star left of blue ring", "red star right of blue ring"),
        ("two red stars", "one red star"),
        ("plain red star", "striped red star"),
    ):
        found = [other in near_misses([phrase], rng=random.Random(seed), count=4) for seed in range(40)]
        assert sum(found) > 8, phrase


def test_near_misses_of_relations_are_false() -> None:
    """Of what is in the scene only the opposite of a true relation is known to be false."""
    scene = ["red star left of blue ring", "blue ring right of red star", "green heart"]
    present = {"red star", "blue ring", "green heart"}
    for seed in range(50):
        for phrase in near_misses(scene, rng=random.Random(seed), count=5):
            said = parse(phrase)
            if said.relation is None:
                assert said.thing not in present
            elif {said.thing, said.other} <= present:
                assert phrase in ("red star right of blue ring", "blue ring left of red star")
