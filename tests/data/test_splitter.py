"""The phrases that the built-in splitter makes of captions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.data.splitter import split_caption

CAPTIONS = [
    ("A man with two dogs walks on the beach.", ("man", "two dogs", "beach")),
    ("a red car parked next to a yellow taxi", ("red car", "yellow taxi")),
    ("a woman riding a horse", ("woman", "horse")),
    ("A person is riding horses", ("person", "horses")),
    ("running shoes on the floor", ("running shoes", "floor")),
    ("the building behind the parking meter", ("building", "parking meter")),
    ("A group of people in front of a photo of a T-shirt", ("people", "T-shirt")),
    ("a cat, a cat; A Cat and a dog!", ("cat", "dog")),
    ("a red and white umbrella", ("white umbrella",)),
    ("the man's hat on 3 boxes", ("man's hat", "3 boxes")),
    ("ein Mädchen über dem Fluß", ("ein Mädchen über dem Fluß",)),
    ("running", ()),
    ("A photo of 2", ()),
    ("", ()),
]


@pytest.mark.parametrize(("caption", "phrases"), CAPTIONS)
def test_phrases(caption: str, phrases: tuple[str, ...]) -> None:
    assert split_caption(caption) == phrases


@given(st.text())
def test_any_text_gives_distinct_phrases_made_of_its_own_words(caption: str) -> None:
    phrases = split_caption(caption)
    assert len({phrase.casefold() for phrase in phrases}) == len(phrases)
    for phrase in phrases:
        assert phrase.strip() == phrase != ""
        assert all(word in caption for word in phrase.split())
