"""Rank the labels of a truth by their error probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autolabel.doubts.doubt import Kind, LabelDoubt, SeenObject
from autolabel.doubts.evidence import (
    ODD,
    Evidence,
    UsualSizes,
    gather_evidence,
)
from autolabel.doubts.learn import ErrorChances, learn_chances
from autolabel.doubts.scene_parts import without_crowds
from autolabel.evaluate.matching import _UNMATCHED
from autolabel.evaluate.scene import Objects, Scene

_SURE = 0.5
"""A labelled box whose own score is above this is not called unsupported."""


@dataclass(frozen=True, slots=True)
class _Ranked:
    """One image's doubts, in no order."""

    image: str
    doubts: tuple[LabelDoubt, ...]


def rank(scenes: Sequence[Scene], images: Sequence[str], classes: Sequence[str]) -> list[_Ranked]:
    """Return the doubts of every scene: each labelled box once, and each found box without a matching label.

    ``images`` names the scenes, ``classes`` the class numbers. A found box that suggests another place or class for a
    labelled box is reported with that box.
    """
    plain = [without_crowds(scene) for scene in scenes]
    sizes = UsualSizes.over(plain)
    evidence = [gather_evidence(scene, sizes) for scene in plain]
    chances = learn_chances(plain, evidence, len(classes))
    return [
        _Ranked(image, tuple(_told(image, scene, known, chance, classes)))
        for image, scene, known, chance in zip(images, plain, evidence, chances, strict=True)
    ]


def _told(
    image: str, scene: Scene, known: Evidence, chances: ErrorChances, classes: Sequence[str]
) -> Iterator[LabelDoubt]:
    missing = dict(zip(known.open.tolist(), chances.missing.tolist(), strict=True))
    explains = _explained(known, chances, missing)
    for place, chance in enumerate(chances.labelled.tolist()):
        found = explains.get(place)
        both = chance if found is None else max(chance, missing[found])
        kind, seen = _kind(place, scene, known, found, classes)
        own = int(known.claimed[place])
        yield LabelDoubt(
            image=image,
            kind=kind,
            chance=round(both, 6),
            **_box(scene.true, place, classes),
            score=None if own == _UNMATCHED else round(float(scene.scores[own]), 6),
            annotation=scene.true.ids[place],
            seen=seen,
        )
    for found in missing.keys() - set(explains.values()):
        score = round(float(scene.scores[found]), 6)
        chance = round(missing[found], 6)
        yield LabelDoubt(image=image, kind="missing", chance=chance, **_box(scene.found, found, classes), score=score)


def _explained(known: Evidence, chances: ErrorChances, missing: dict[int, float]) -> dict[int, int]:
    """Return, for unsupported labelled boxes, the unmatched found box that shows the error; each is used once."""
    out: dict[int, int] = {}
    for place in np.argsort(-chances.labelled, kind="stable").tolist():
        if known.claimed[place] == _UNMATCHED:
            for one in (int(known.other[place]), int(known.near[place])):
                if one in missing and one not in out.values():
                    out[place] = one
                    break
    return out


def _kind(
    place: int, scene: Scene, known: Evidence, found: int | None, classes: Sequence[str]
) -> tuple[Kind, SeenObject | None]:
    """Return the kind of error of a labelled box, and the box that shows it."""
    other, near, own, clash = (int(column[place]) for column in (known.other, known.near, known.claimed, known.clash))
    score = 0.0 if own == _UNMATCHED else float(scene.scores[own])
    if other != _UNMATCHED and found != near and scene.scores[other] > score:
        return "class", _seen(scene, other, classes)
    if near != _UNMATCHED and own == _UNMATCHED:
        return "place", _seen(scene, near, classes)
    if clash != _UNMATCHED:
        box = _box(scene.true, clash, classes)
        return "overlap", SeenObject(**box, score=None)
    if known.odd[place] >= ODD and score > _SURE:
        return "size", None
    return "unsupported", None


def _seen(scene: Scene, place: int, classes: Sequence[str]) -> SeenObject:
    return SeenObject(**_box(scene.found, place, classes), score=round(float(scene.scores[place]), 6))


def _box(objects: Objects, place: int, classes: Sequence[str]) -> dict[str, Any]:
    x1, y1, x2, y2 = objects.boxes[place].round(3).tolist()
    return {"phrase": classes[int(objects.classes[place])], "bbox": (x1, y1, x2, y2)}


def by_chance(doubts: Sequence[LabelDoubt]) -> list[LabelDoubt]:
    """Return doubts sorted by probability, descending, then by image and position."""
    return sorted(doubts, key=lambda one: (-one.chance, one.image, one.bbox))


def chance_of_any(chances: Sequence[float]) -> float:
    """Return the probability that at least one of several is an error; 0 if there are none."""
    return float(1 - np.prod(1 - np.clip(np.asarray(chances, np.float64), 0, 1)))
