"""Separate answers that count as a sample from answers that are only known."""

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
    """A random order of the units that were undecided at its start."""

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
    """Yield the answers in the order for an audit: whether they were drawn, and their values.

    For each round, the answers up to the first unanswered unit count, in the order of the draw, whenever they were
    given. Units decided before a round are known. ``within``, (N,), restricts all orders to the units of a class.
    Raises ValueError if a round began before all shown units were answered, because redrawing instead of answering
    would bias the sample.
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
