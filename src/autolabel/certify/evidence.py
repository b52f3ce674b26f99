"""Which answers are evidence, and which are only known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_V = TypeVar("_V")
_Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DrawRound:
    """One random order of the units that were undecided when it began."""

    known: frozenset[int]
    """Units that were decided before; they are counted, and are no evidence."""
    order: _Int64
    """All other units, in the order of the draw."""
    shown: int = 0
    """The number of units shown so far; each needs an answer before another round begins."""


def _open_units(one: DrawRound, answers: Mapping[int, object]) -> list[int]:
    """Return the shown units of a round that have no answer."""
    return [unit for unit in one.order[: one.shown].tolist() if unit not in answers]


def replay(
    rounds: Sequence[DrawRound], answers: Mapping[int, _V], within: npt.NDArray[np.bool_] | None = None
) -> Iterator[tuple[bool, list[_V]]]:
    """Yield the answers as an audit has to enter them: whether they were drawn, and their values.

    Of each round counts the unbroken beginning of its order, up to the first unit without answer, in the order of the
    draw, whenever the answers came. What was decided before a round is known. ``within``, (N,), restricts all orders to
    the units of a class. Raises ValueError if a round began before all shown units had an answer: drawing again
    instead of answering would be a choice.
    """
    for earlier, _ in pairwise(rounds):
        if gap := _open_units(earlier, answers):
            raise ValueError(f"{len(gap)} shown units had no answer when a new round began")
    entered: set[int] = set()
    for one in rounds:
        before = sorted(unit for unit in one.known if unit not in entered and (within is None or within[unit]))
        yield False, [answers[unit] for unit in before]
        order = one.order if within is None else one.order[within[one.order]]
        drawn = list(_beginning(order, answers))
        yield True, [answers[unit] for unit in drawn]
        entered.update(before, drawn)


def _beginning(order: _Int64, answers: Mapping[int, object], piece: int = 256) -> Iterator[int]:
    for start in range(0, len(order), piece):
        for unit in order[start : start + piece].tolist():
            if unit not in answers:
                return
            yield unit
