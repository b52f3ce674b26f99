"""The result of a comparison of phrases, as ``autolabel phrases --json`` prints it."""

from __future__ import annotations

from typing import Any

import msgspec

from autolabel.phrases.propose import Origin
from autolabel.schema_faults import struct_schema

_Bounds = tuple[float, float]


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one phrase, or of several together, on the checked images."""

    phrases: tuple[str, ...]
    origin: Origin | None
    """Who proposed it; null for several phrases together."""
    today: bool
    """Whether these are exactly the spec's phrases for the class."""
    ap: float
    """Average precision at the comparison's IoU."""
    against_today: _Bounds | None
    """95 % interval of the difference to today's AP, on the same resampled images; null with a single image."""
    f1: float
    """The best of any threshold."""
    threshold: float | None
    """The lowest score that the best F1 keeps; null if nothing is right."""
    false_alarms: int
    """Wrong boxes at that threshold."""
    alarms_in_empty: int
    """Images without an object of the class that hold one of them."""


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A winner compared with the current phrases, each run with all other classes of the spec."""

    today: float
    """AP of today's phrases."""
    ap: float
    """AP of the winner."""
    difference: _Bounds | None
    """95 % interval of the winner's AP minus today's, on the same resampled images; null with a single image."""


class ClassComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All wordings of a class, the best first, and the recommendation."""

    name: str
    true: int
    """True objects in the checked images."""
    images: int
    """Checked images that hold one."""
    wordings: tuple[Wording, ...]
    winner: int
    """The place of the wording with the highest AP; unions have to be better by more than a little."""
    penalty: float | None
    """What of the winner's AP is the luck of having been chosen, by nested cross-validation; null if today's phrases
    win, or too few images hold an object."""
    stable: float | None
    """The share of resampled image sets with the same choice, from 0 to 1; null when the penalty is."""
    better: bool
    """Whether the winner is shown to be better than today's: with the penalty taken off, the interval of the difference
    lies above 0, where all phrases are asked together and where the spec asks."""
    confirmed: Confirmation | None = None
    """Null where the winner was not better where all phrases were asked together."""

    @property
    def today(self) -> Wording:
        """The current wording of the spec."""
        return next(one for one in self.wordings if one.today)

    @property
    def advised(self) -> tuple[str, ...]:
        """The recommended phrases: the winner's if it is significantly better, otherwise the current ones."""
        return self.wordings[self.winner].phrases if self.better else self.today.phrases


class PhraseComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``autolabel phrases``."""

    images: int
    """Checked images on which the detector ran."""
    failed: int
    """Checked images that could not be read or processed."""
    phrases: int
    """Phrases that were searched, negatives included."""
    passes: dict[str, int]
    """The detector's own counts of its work; empty if cached candidates answered everything."""
    iou: float
    floor: float
    """Candidates that score no more than this were not looked at."""
    classes: tuple[ClassComparison, ...]
    block: str
    """The ``classes:`` block with the advised phrases, as YAML."""
    notes: tuple[str, ...]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the output of ``--json``."""
    return struct_schema(PhraseComparison)
