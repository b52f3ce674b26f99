"""Generate variants of an English phrase: singular, plural, "a photo of", with and without attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator

_IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "mouse": "mice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "ox": "oxen",
    "leaf": "leaves",
    "knife": "knives",
    "loaf": "loaves",
    "wolf": "wolves",
    "shelf": "shelves",
    "calf": "calves",
    "half": "halves",
    "scarf": "scarves",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "nucleus": "nuclei",
    "fungus": "fungi",
    "cactus": "cacti",
    "bacterium": "bacteria",
    "larva": "larvae",
    "vertebra": "vertebrae",
    "fish": "fish",
    "sheep": "sheep",
    "deer": "deer",
    "aircraft": "aircraft",
    "broccoli": "broccoli",
    "equipment": "equipment",
    "luggage": "luggage",
    "scissors": "scissors",
    "skis": "skis",
}
"""Plural by singular, where no rule makes it."""
_SINGULAR = {plural: singular for singular, plural in _IRREGULAR.items()}
_ENDS_IN_ES = re.compile(r"(s|x|z|ch|sh)$")
_NO_PLURAL = re.compile(r"(ss|us|is)$")
_ATTRIBUTES = ("small", "large")
"""Words that are set before a phrase, since objects of a class are often asked for by their size."""


def forms(phrase: str) -> Iterator[str]:
    """Yield variants of a phrase: other number, "a photo of", with attributes, with fewer words."""
    several = is_plural(phrase)
    yield singular(phrase) if several else plural(phrase)
    yield f"a photo of {phrase}" if several else f"a photo of {article(phrase)} {phrase}"
    for attribute in _ATTRIBUTES:
        yield f"{attribute} {phrase}"
    words = phrase.split()
    for start in range(1, len(words)):
        yield " ".join(words[start:])


def plural(phrase: str) -> str:
    """Return a phrase with its last word in the plural; plurals are unchanged."""
    return phrase if is_plural(phrase) else _with_last(phrase, _plural_of)


def singular(phrase: str) -> str:
    """Return a phrase with its last word in the singular; singulars are unchanged."""
    return _with_last(phrase, _singular_of)


def is_plural(phrase: str) -> bool:
    """Return whether the last word of a phrase is a plural that differs from its singular."""
    return singular(phrase) != phrase


def article(phrase: str) -> str:
    """Return ``a`` or ``an``, by the first letter."""
    return "an" if phrase[:1].lower() in set("aeiou") else "a"


def _with_last(phrase: str, change: object) -> str:
    first, space, last = phrase.rpartition(" ")
    assert callable(change)
    return f"{first}{space}{change(last)}"


def _plural_of(word: str) -> str:
    if (known := _IRREGULAR.get(word.lower())) is not None:
        return known
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if _ENDS_IN_ES.search(word) else f"{word}s"


def _singular_of(word: str) -> str:
    lower = word.lower()
    if lower in _IRREGULAR or len(word) < 4:
        return word
    if (known := _SINGULAR.get(lower)) is not None:
        return known
    if lower.endswith("ies"):
        return f"{word[:-3]}y"
    if re.search(r"(ss|x|z|ch|sh)es$", lower) or lower.endswith("buses"):
        return word[:-2]
    return word if _NO_PLURAL.search(lower) or not lower.endswith("s") else word[:-1]
