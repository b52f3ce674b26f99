"""What scenes are asked for: phrases of colour, shape and one mark more, and near misses of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .paint import COLOURS, TEXTURES

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "diamond")
SIZES = ("small", "large")
COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
COLOUR, SIZE, TEXTURE, COUNT, RELATION = KINDS = ("colour", "size", "texture", "count", "relation")
"""What tells the phrases of a scene apart, beside colour and shape: the first kind has no more than these."""


@dataclass(frozen=True)
class Description:
    """What a phrase says of a thing: its colour and shape, and at most one of the rest."""

    colour: str
    shape: str
    size: str | None = None
    texture: str | None = None
    count: str | None = None
    relation: str | None = None
    other: str | None = None
    """Colour and shape of the thing that the relation is to."""

    @property
    def thing(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"

    @property
    def text(self) -> str:
        """The phrase."""
        words = (self.count, self.size, self.texture, self.thing, self.relation, self.other)
        text = " ".join(word for word in words if word)
        return text if self.count in (None, "one") else _plural(text)


def parse(text: str) -> Description:
    """Return what a phrase says; the inverse of `Description.text`. ValueError where a word is not known."""
    for relation in OPPOSITES:
        subject, found, other = text.partition(f" {relation} ")
        if found:
            return replace(parse(subject), relation=relation, other=other)
    *marks, colour, shape = text.split()
    singular = shape if shape in SHAPES else next((each for each in SHAPES if _plural(each) == shape), "")
    fields = {"size": SIZES, "texture": TEXTURES, "count": COUNTS}
    known = {field: mark for mark in marks for field, words in fields.items() if mark in words}
    if not singular or colour not in COLOURS or len(known) != len(marks) or len(known) > 1:
        raise ValueError(f'no phrase of a scene: "{text}"')
    return replace(Description(colour, singular), **known)


def near_misses(phrases: Sequence[str], *, rng: random.Random, count: int) -> list[str]:
    """Return `count` phrases that differ in one word from a phrase of the scene and that nothing in it answers.

    `phrases` holds a phrase for every thing of the scene.
    """
    present = {parse(phrase).thing for phrase in phrases}
    found: list[str] = []
    while len(found) < count:
        wanted = parse(rng.choice(phrases))
        changed = _changed(wanted, rng)
        if changed.text not in phrases and changed.text not in found and not _may_hold(changed, wanted, present):
            found.append(changed.text)
    return found


def _may_hold(changed: Description, wanted: Description, present: set[str]) -> bool:
    """Return whether something of the scene may answer: only of things that are not in it is nothing known."""
    if changed.relation is None:
        return changed.text in present
    if changed.relation != wanted.relation:
        return False
    return (changed.thing if changed.thing != wanted.thing else changed.other) in present


def _changed(description: Description, rng: random.Random) -> Description:
    """Change one word: half of the time the mark, where there is one, else colour or shape."""
    marked = description.text != description.thing
    if marked and rng.random() < 0.5:
        return _with_other_mark(description, rng)
    if description.other and rng.random() < 0.5:
        colour, shape = description.other.split()
        other = _with_other_look(Description(colour, shape), rng)
        return replace(description, other=other.thing)
    return _with_other_look(description, rng)


def _with_other_mark(description: Description, rng: random.Random) -> Description:
    if description.relation:
        return replace(description, relation=OPPOSITES[description.relation])
    if description.size:
        return replace(description, size=rng.choice(SIZES))
    if description.texture:
        return replace(description, texture=rng.choice(TEXTURES))
    return replace(description, count=rng.choice(COUNTS[:4]))


def _with_other_look(description: Description, rng: random.Random) -> Description:
    if rng.random() < 0.5:
        return replace(description, colour=rng.choice(list(COLOURS)))
    return replace(description, shape=rng.choice(SHAPES))


def _plural(text: str) -> str:
    return text + ("es" if text.endswith("s") else "s")
