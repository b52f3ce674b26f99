"""Lower bounds of a total over a population, by betting on the units drawn so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

STAKES: Float64 = np.linspace(0.05, 1, 20)[:, None]
"""(20, 1): the share of what it could lose that each gambler stakes."""
MONEY: Float64 = np.log(STAKES / STAKES.sum())
"""(20, 1): log of each gambler's money at the start; the bolder ones hold more of it."""
_TINY, _HUGE = 1e-300, 1e250


@dataclass(slots=True)
class SampledTotals:
    """``size`` units with integer values >= 0, decided one after another.

    A unit is *drawn* if all undecided units were equally likely to come next; it is part of the sample. It is *chosen*
    if somebody picked it; its value is known, but says nothing about other units.
    """

    size: int
    values: list[int] = field(default_factory=list)
    """Values of the drawn units, in the order of the draw."""
    before: list[int] = field(default_factory=list)
    """Sum of all values that were known before each draw."""
    left: list[int] = field(default_factory=list)
    """Units that were undecided before each draw."""
    known: int = 0
    """Sum of the values of all decided units."""
    decided: int = 0

    def draw(self, value: int) -> None:
        """Enter the value of a unit drawn from all undecided ones."""
        self.values.append(value)
        self.before.append(self.known)
        self.left.append(self.size - self.decided)
        self.choose([value])

    def choose(self, values: Iterable[int]) -> None:
        """Enter the values of units that somebody picked, possibly because of their values."""
        for value in values:
            self.known += value
            self.decided += 1

    @property
    def complete(self) -> bool:
        """Whether every unit is decided."""
        return self.decided == self.size

    @property
    def estimate(self) -> float | None:
        """The estimated total, assuming that undecided units are like drawn ones; None if nothing was drawn.

        This is not a bound.
        """
        if self.complete:
            return float(self.known)
        if not self.values:
            return None
        return self.known + (self.size - self.decided) * sum(self.values) / len(self.values)


def factors(values: npt.ArrayLike, means: npt.ArrayLike) -> Float64:
    """Return the log factors by which each draw multiplies the wealth of each bet, (20, n).

    ``values`` are the drawn values, ``means`` the largest means that the claim allows for the undecided units, both
    (n,). With a mean of 0 or less, a value above 0 contradicts the claim, and a value of 0 leaves the wealth unchanged.
    """
    x, mean = np.asarray(values, np.float64), np.asarray(means, np.float64)
    ratio = np.where(mean > 0, x / np.maximum(mean, _TINY), np.where(x > 0, _HUGE, 1.0))
    out: Float64 = np.log(np.maximum(1 - STAKES + STAKES * np.minimum(ratio, _HUGE), _TINY))
    return out


def wealth(ledger: SampledTotals, total: float) -> Float64:
    """Return the log of the mean wealth after each draw, (n,), of bets against ``sum <= total``.

    If the claim is true, the mean of the undecided units before draw t is at most ``(total - before) / left``, so each
    factor ``1 - c + c * value / mean`` has an expectation of at most 1. The wealth is then a nonnegative
    supermartingale, and by Ville's inequality the probability that it ever reaches 1 / risk is at most ``risk``, for
    any stopping rule (Waudby-Smith and Ramdas 2024; Stark 2023, for election audits).
    """
    means = (total - np.asarray(ledger.before, np.float64)) / np.asarray(ledger.left, np.float64)
    logs: Float64 = np.logaddexp.reduce(np.cumsum(factors(ledger.values, means), axis=1) + MONEY, axis=0)
    return logs


def exceeds(ledger: SampledTotals, total: int, risk: float) -> bool:
    """Return whether the sum of all values is shown to exceed ``total``; the error probability is at most ``risk``."""
    if ledger.known > total:
        return True
    if not ledger.values:
        return False
    return bool(wealth(ledger, total).max() >= -math.log(risk))


def least(ledger: SampledTotals, risk: float) -> int:
    """Return a lower bound of the sum of all values, valid at all times together with probability 1 - ``risk``.

    Values are integers, so if ``sum <= T`` is refuted, the sum is at least T + 1. Exact once all units are decided.
    """
    low = ledger.known
    if ledger.complete or not exceeds(ledger, low, risk):
        return low
    step = 1
    while exceeds(ledger, low + step, risk):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exceeds(ledger, middle, risk) else (low, middle)
    return low + 1
