"""Collect the phrases to compare for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from autolabel.errors import ImageError
from autolabel.phrases.forms import forms
from autolabel.phrases.synonyms import synonyms
from autolabel.strategies import Detector
from autolabel.types import Prompt
from autolabel.types.ontology import Ontology, _terms_of

Origin = Literal["today", "tried", "synonym", "form", "model"]
"""Who proposed a phrase: the spec, ``--try``, the built-in list, the built-in forms, or a language model."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed phrase for a class."""

    phrase: str
    origin: Origin


def propose(
    name: str, ontology: Ontology, *, tried: Sequence[str], suggested: Sequence[str], built_in: bool
) -> list[Proposal]:
    """Return the distinct phrases to compare for a class, the current ones first, ignoring letter case and spaces."""
    today = _terms_of(name, ontology).phrases
    found = [Proposal(phrase=phrase, origin="today") for phrase in today]
    found += [Proposal(phrase=phrase, origin="tried") for phrase in tried]
    if built_in:
        words = dict.fromkeys([*today, name])
        found += [Proposal(phrase=other, origin="synonym") for word in words for other in synonyms(word)]
        found += [Proposal(phrase=form, origin="form") for word in words for form in forms(word)]
    found += [Proposal(phrase=phrase, origin="model") for phrase in suggested]
    first: dict[str, Proposal] = {}
    for one in found:
        first.setdefault(_plain(one.phrase), one)
    return list(first.values())


def without_conflicts(
    proposals: Mapping[str, Sequence[Proposal]], ontology: Ontology
) -> tuple[dict[str, list[Proposal]], list[str]]:
    """Return the proposals that are valid together in one spec, and a note on each invalid one of the user.

    A phrase may belong to one class only: phrases of other classes, negatives, and phrases proposed for several classes
    are left out.
    """
    owner = {_plain(phrase): name for name in proposals for phrase in _terms_of(name, ontology).phrases}
    against = {_plain(phrase) for name in proposals for phrase in _terms_of(name, ontology).negatives}
    count: dict[str, set[str]] = {}
    for name, listed in proposals.items():
        for one in listed:
            count.setdefault(_plain(one.phrase), set()).add(name)
    kept: dict[str, list[Proposal]] = {}
    notes: list[str] = []
    for name, listed in proposals.items():
        kept[name] = []
        for one in listed:
            key = _plain(one.phrase)
            if one.origin == "today":
                fault = ""
            elif owner.get(key, name) != name:
                fault = f"it stands for {owner[key]!r}"
            elif key in against:
                fault = "it speaks against a class"
            else:
                fault = "it is proposed for several classes" if len(count[key]) > 1 else ""
            if not fault:
                kept[name].append(one)
            elif one.origin == "tried":
                notes.append(f"{one.phrase!r} is not tried for {name!r}: {fault}")
    return kept, notes


def readable(listed: Sequence[Proposal], detector: Detector, *, seen: dict[object, str]) -> Iterator[Proposal | str]:
    """Yield the proposals that a detector can read and distinguish from ``seen``; a note on others of the user.

    ``seen`` holds the token readings of phrases already compared, and is extended by the yielded ones.
    """
    for one in listed:
        reading = detector.read(one.phrase)
        fault = "" if reading.readable else "the detector can read nothing of it"
        try:
            detector.passes(Prompt((one.phrase,)))
        except ImageError as error:
            fault = str(error)
        pieces = reading.pieces or (_plain(one.phrase),)
        if not fault and pieces in seen and one.origin != "today":
            fault = f"it reads the same as {seen[pieces]!r}"
        if not fault or one.origin == "today":
            seen.setdefault(pieces, one.phrase)
            yield one
        elif one.origin == "tried":
            yield f"{one.phrase!r} is not tried: {fault}"


def _plain(phrase: str) -> str:
    """Return a phrase normalised for comparison."""
    return " ".join(phrase.casefold().split())
