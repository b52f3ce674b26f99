"""Counts over all rows of a run, in memory that does not grow with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from autolabel.types import GIVEN, Labels

BINS = 20
MOST_PHRASES = 10_000
"""Phrases counted one by one; boxes of any further phrase are counted together under None."""

Phrase = str | None


@dataclass(slots=True)
class Tally:
    """Counts over a run by state, reason, class, round and score."""

    most_phrases: float = MOST_PHRASES
    """How many phrases are counted one by one."""
    rows: int = 0
    images: int = 0
    masks: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    found: Counter[tuple[Phrase, int]] = field(default_factory=Counter)
    """Boxes by (phrase, round)."""
    classes: Counter[Phrase] = field(default_factory=Counter)
    """Boxes by phrase."""
    scores: dict[Phrase, list[int]] = field(default_factory=dict)
    """Found boxes by phrase, in BINS equal bins of score from 0 to 1; given boxes left out."""
    first_rounds: Counter[int] = field(default_factory=Counter)
    """Rows by the earliest round of their boxes."""
    left_out: int = 0
    """Rows that a person left out: they are in no other count."""
    last_image: str | None = None

    @property
    def boxes(self) -> int:
        """All boxes."""
        return self.classes.total()

    @property
    def rounds(self) -> list[int]:
        """The rounds that found something, in order; -1 stands for given boxes."""
        return sorted({round for _, round in self.found})

    @property
    def usable(self) -> int:
        """Rows that did not fail."""
        return self.rows - self.states["failed"]

    def ranked(self) -> list[Phrase]:
        """Return phrases with the most boxes first, equal ones by name; those counted together come last."""
        return sorted(self.classes, key=lambda phrase: (phrase is None, -self.classes[phrase], phrase or ""))

    def add(self, row: Labels) -> None:
        """Count one row; rows of one image must follow each other."""
        self.rows += 1
        self.images += row.image.id != self.last_image
        self.last_image = row.image.id
        self.states[row.state] += 1
        if row.reason:
            self.reasons[row.reason.code] += 1
        rounds = row.instances.rounds.tolist()
        if rounds:
            self.first_rounds[min(rounds)] += 1
        for label, round, score in zip(
            row.instances.labels.tolist(), rounds, row.instances.scores.tolist(), strict=True
        ):
            self.add_box(row.prompt.phrases[label], round=round, score=score)
        self.masks += sum(mask is not None for mask in row.instances.masks or ())

    def add_box(self, name: str, *, round: int, score: float) -> None:
        """Count one box."""
        phrase = name if name in self.classes or len(self.classes) < self.most_phrases else None
        self.classes[phrase] += 1
        self.found[phrase, round] += 1
        if round != GIVEN:
            bins = self.scores.setdefault(phrase, [0] * BINS)
            bins[min(max(int(score * BINS), 0), BINS - 1)] += 1
