"""The summary of a run, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from autolabel.results.tally import Tally
from autolabel.types import GIVEN, Labels

_SHOWN = 10
"""The number of failed images that a summary names; the ledger has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over the ledger."""

    results_dir: str
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    found: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Boxes by (phrase, round)."""
    failures: tuple[tuple[str, str], ...] = ()
    """The first failed images, each with its message."""
    masks: int = 0
    images: int = 0
    rows: int = 0
    max_failures: float | int = 0
    written: tuple[str, ...] = ()

    @property
    def boxes(self) -> int:
        """All boxes."""
        return sum(self.found.values())

    @property
    def too_many_failures(self) -> bool:
        """Whether more rows failed than the spec allows: a share where ``max_failures`` is a float, else a count."""
        failed = self.states["failed"]
        limit = self.max_failures * self.rows if isinstance(self.max_failures, float) else self.max_failures
        return failed > limit

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        phrases: dict[str, dict[str, int]] = {}
        for (phrase, round), count in sorted(self.found.items()):
            phrases.setdefault(phrase, {})["given" if round == GIVEN else str(round)] = count
        return {
            "results_dir": self.results_dir,
            "images": self.images,
            "rows": self.rows,
            "states": {state: self.states[state] for state in ("labelled", "empty", "failed")},
            "reasons": dict(sorted(self.reasons.items())),
            "failures": [{"image": image, "message": message} for image, message in self.failures],
            "boxes": self.boxes,
            "masks": self.masks,
            "found": phrases,
            "written": list(self.written),
            "too_many_failures": self.too_many_failures,
        }


def summarise(
    labels: Iterable[Labels], *, results_dir: str, max_failures: float | int, written: Iterable[str] = ()
) -> Summary:
    """Count over labels."""
    tally, failures = Tally(most_phrases=math.inf), list[tuple[str, str]]()
    for row in labels:
        tally.add(row)
        if row.reason and len(failures) < _SHOWN:
            failures.append((row.image.id, f"{row.reason.code}: {row.reason.message}"))
    return Summary(
        results_dir=results_dir,
        states=tally.states,
        reasons=tally.reasons,
        found=Counter({(phrase or "", round): count for (phrase, round), count in tally.found.items()}),
        failures=tuple(failures),
        masks=tally.masks,
        images=tally.images,
        rows=tally.rows,
        max_failures=max_failures,
        written=tuple(written),
    )
