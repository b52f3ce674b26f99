"""Estimate the number of further draws that a bound needs."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autolabel.certify.ledger import MONEY, STAKES, Float64, SampledTotals, exceeds, factors


def more_draws(ledger: SampledTotals, total: int, risk: float) -> int | None:
    """Estimate the further draws needed to show that the values sum to more than ``total``; 0 if already shown.

    Assumes that further draws are like those so far. None if no number below the undecided units suffices, or if
    nothing was drawn.
    """
    if exceeds(ledger, total, risk):
        return 0
    undecided = ledger.size - ledger.decided
    if not ledger.values or not undecided:
        return None
    means = (total - np.asarray(ledger.before, np.float64)) / np.asarray(ledger.left, np.float64)
    rest = (total - ledger.known) / undecided
    now = factors(ledger.values, means).sum(axis=1)
    gain = factors(ledger.values, np.full(len(ledger.values), rest)).mean(axis=1)
    return _first(now, gain, most=undecided, wanted=-math.log(risk))


def draws_of(values: npt.ArrayLike, size: int, total: float, risk: float) -> int | None:
    """Estimate the draws, if they are like ``values``, that show that ``size`` units sum to more than ``total``.

    None if no number of units suffices.
    """
    seen = np.asarray(values, np.float64)
    if not len(seen) or not size:
        return None
    gain = factors(seen, np.full(len(seen), total / size)).mean(axis=1)
    return _first(np.zeros_like(gain), gain, most=size, wanted=-math.log(risk))


def _first(now: Float64, gain: Float64, *, most: int, wanted: float) -> int | None:
    """Return the smallest number of draws, up to ``most``, at which the mixture reaches ``wanted``.

    The log of a sum of exponentials of lines is convex: from below, it crosses a level once at most.
    """

    def reached(count: int) -> bool:
        return bool(np.logaddexp.reduce(now + count * gain + MONEY[:, 0]) >= wanted)

    if not reached(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def faultless_draws(size: int, total: int, risk: float, value: int = 1) -> int | None:
    """Return how many draws, all of ``value``, show that the values of ``size`` units sum to more than ``total``.

    None if not even all of them suffice.
    """
    if size * value <= total:
        return None
    money, logs = -math.log(risk), MONEY[:, 0].copy()
    for count in range(size):
        rest = total - count * value
        if rest < 0:
            return count
        mean = rest / (size - count)
        logs += factors([value], [mean])[:, 0]
        if np.logaddexp.reduce(logs) >= money:
            return count + 1
    return size


def foreseen(ledger: SampledTotals, draws: int) -> SampledTotals:
    """Return the ledger after ``draws`` more draws that repeat the earlier ones evenly."""
    out = SampledTotals(
        ledger.size, list(ledger.values), list(ledger.before), list(ledger.left), ledger.known, ledger.decided
    )
    seen = len(ledger.values)
    for number in range(min(draws, ledger.size - ledger.decided) if seen else 0):
        out.draw(ledger.values[number * seen // max(draws, 1) if draws < seen else number % seen])
    return out


__all__ = ["STAKES", "faultless_draws", "foreseen", "more_draws"]
