"""The looks of a stage, and when to stop using more."""

from __future__ import annotations

from dataclasses import dataclass

from autolabel.detectors.agreement import Agreement, Counts, Doubt
from autolabel.types import Instances


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks of a stage; without any, only the original image is used."""

    names: tuple[str | None, ...] = (None,)
    agreement: Agreement | None = None
    doubt: Doubt | None = None
    """None: every round sees all looks. Else round k adds look k where an image is still in doubt."""

    def in_round(self, round: int) -> int:
        """Return the number of looks in a round for an image in doubt."""
        return len(self.names) if self.doubt is None else min(round + 1, len(self.names))

    def weigh(self, kept: Instances, union: Instances, asked: Counts, *, above: float) -> Instances:
        """Rescore kept boxes by the looks, and return those that score more than ``above``.

        Label l was searched in the first ``asked[l]`` looks. Without an agreement, boxes are returned unchanged.
        """
        if self.agreement is None:
            return kept
        weighed = self.agreement.weigh(kept, union, looks=self.first(len(self.names)), asked=asked)
        return weighed.take(weighed.scores > above)

    def settled(self, kept: Instances, known: Instances, count: int) -> bool:
        """Return whether no looks beyond the first ``count`` are needed.

        ``kept`` are the kept boxes of ``known``, the candidates of these looks.
        """
        if self.agreement is None or self.doubt is None:
            return True
        doubts = self.agreement.in_doubt(kept, known, looks=self.first(count), doubt=self.doubt)
        return doubts <= self.doubt.boxes

    def first(self, count: int) -> list[str]:
        """Return the names of the first looks."""
        return [name for name in self.names[:count] if name is not None]
