"""Choose the rows of a report's gallery deterministically, in one pass and bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, islice

from autolabel.types import GIVEN, Labels

ROWS = 240
_FAILURES = 200
_SEED = b"autolabel report 1"
LEAST_CERTAIN = ROWS // 4
_PER_ROUND = 6
_PER_CLASS = 4
_MOST_CLASSES = 2000


def _draw(row: Labels) -> float:
    """Return a row's hash in [0, 1); the rows with the smallest values are a uniform sample."""
    name = f"{row.caption_index}\0{row.image.id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=6, key=_SEED).digest()) / 2**48


@dataclass(slots=True)
class Smallest:
    """Keeps the ``most`` items with the smallest keys."""

    most: int
    heap: list[tuple[float, int]] = field(default_factory=list)

    def add(self, key: float, item: int) -> None:
        """Offer an item."""
        if len(self.heap) < self.most:
            heapq.heappush(self.heap, (-key, -item))
        elif -key > self.heap[0][0]:
            heapq.heapreplace(self.heap, (-key, -item))

    def items(self) -> list[int]:
        """Return the items kept, smallest key first."""
        return [-item for _, item in sorted(self.heap, reverse=True)]


@dataclass(slots=True)
class Sampler:
    """Samples rows by index.

    The sample has the least certain rows, some of every round and class, then random rows.
    """

    any: Smallest = field(default_factory=lambda: Smallest(ROWS))
    failed: Smallest = field(default_factory=lambda: Smallest(_FAILURES))
    least: Smallest = field(default_factory=lambda: Smallest(LEAST_CERTAIN))
    rounds: dict[int, Smallest] = field(default_factory=dict)
    classes: dict[str, Smallest] = field(default_factory=dict)

    def add(self, place: int, row: Labels) -> None:
        """Offer the row at index ``place``."""
        key = _draw(row)
        if row.reason is not None:
            self.failed.add(key, place)
            return
        self.any.add(key, place)
        found = row.instances.rounds != GIVEN
        if found.any():
            self.least.add(float(row.instances.scores[found].min()), place)
        for round in set(row.instances.rounds.tolist()):
            self.rounds.setdefault(round, Smallest(_PER_ROUND)).add(key, place)
        for label in set(row.instances.labels.tolist()):
            phrase = row.prompt.phrases[label]
            if phrase in self.classes or len(self.classes) < _MOST_CLASSES:
                self.classes.setdefault(phrase, Smallest(_PER_CLASS)).add(key, place)

    def chosen(self) -> frozenset[int]:
        """Return the indices of at most ROWS rows that did not fail."""
        special = chain(
            self.least.items(),
            islice(_in_turn(self.rounds[round] for round in sorted(self.rounds)), ROWS // 8),
            islice(_in_turn(self.classes[phrase] for phrase in sorted(self.classes)), ROWS // 4),
        )
        return frozenset(islice(dict.fromkeys(chain(special, self.any.items())), ROWS))

    def failures(self) -> frozenset[int]:
        """Return the indices of at most FAILURES random failed rows."""
        return frozenset(self.failed.items())


def _in_turn(groups: Iterable[Smallest]) -> Iterator[int]:
    """Yield items round-robin over groups, each item once."""
    columns = [group.items() for group in groups]
    ranks = range(max(map(len, columns), default=0))
    yield from dict.fromkeys(column[rank] for rank in ranks for column in columns if rank < len(column))
