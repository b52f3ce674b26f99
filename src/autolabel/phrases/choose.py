"""Choose the phrases of a class, and estimate the selection bias."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.phrases.judged import ClassJudge, Phrases

_Float64 = npt.NDArray[np.float64]
_BESIDE = 5
"""Unions are made of so many of the best single phrases."""
_MOST = 3
"""Phrases of a union, beside those of today."""
_WORTH = 0.002
"""By how much a further phrase has to raise AP to be taken in."""
_FOLDS, _DEALS = 5, 4


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses among the current phrases, single ones and unions, by AP on weighted images."""

    judge: ClassJudge
    today: Phrases
    others: tuple[str, ...]

    def precision(self, phrases: Phrases, times: _Float64) -> float:
        """Return the AP of a set of phrases, where image n counts ``times[n]`` times."""
        return self.judge.found(phrases).average_precision(times)

    def singles(self) -> list[Phrases]:
        """Return the current phrases, together and one by one, then all others."""
        return list(dict.fromkeys([self.today, *((phrase,) for phrase in (*self.today, *self.others))]))

    def choose(self, times: _Float64) -> Phrases:
        """Return the set with the highest AP: the best single one, extended greedily.

        Ties go to the earlier set, so the current phrases are kept unless another set is better.
        """
        singles = self.singles()
        ranked = sorted(singles, key=lambda one: -self.precision(one, times))
        best, figure = ranked[0], self.precision(ranked[0], times)
        for start in dict.fromkeys([ranked[0], self.today]):
            grown, reached = self.grown(start, [one for one in ranked if len(one) == 1][:_BESIDE], times)
            if reached > figure + _WORTH:
                best, figure = grown, reached
        return best

    def grown(self, start: Phrases, beside: Sequence[Phrases], times: _Float64) -> tuple[Phrases, float]:
        """Extend a set greedily by phrases that raise its AP; return the set and its AP."""
        kept, figure = start, self.precision(start, times)
        while len(kept) < max(_MOST, len(start) + 1):
            wider = [tuple(sorted({*kept, *one})) for one in beside if not set(one) <= set(kept)]
            best = max(wider, key=lambda one: self.precision(one, times), default=kept)
            if self.precision(best, times) <= figure + _WORTH:
                break
            kept, figure = best, self.precision(best, times)
        return kept, figure

    def unions(self, times: _Float64) -> list[Phrases]:
        """Return the unions to report: the best single phrase, and the current ones, with each other good phrase."""
        singles = self.singles()
        ranked = sorted(singles, key=lambda one: -self.precision(one, times))
        beside = [one for one in ranked if len(one) == 1][:_BESIDE]
        made = [tuple(sorted({*start, *one})) for start in dict.fromkeys([ranked[0], self.today]) for one in beside]
        known = {tuple(sorted(one)) for one in singles}
        return [one for one in dict.fromkeys([*made, tuple(sorted(self.choose(times)))]) if one not in known]

    def penalty(self, winner: Phrases) -> tuple[float | None, float | None]:
        """Return the selection bias of a winner's AP, and how often other folds make the same choice.

        Nested cross-validation: for each fold, the choice is repeated on the other folds. The penalty is the mean
        difference, on the held-out fold, between the winner, which was chosen with it, and that choice. None if fewer
        than two images hold an object.
        """
        lost, same = [], []
        key = tuple(sorted(winner))
        for held in self.deals():
            chosen = self.choose(np.where(held, 0.0, 1.0))
            part = held.astype(np.float64)
            lost.append(self.precision(winner, part) - self.precision(chosen, part))
            same.append(tuple(sorted(chosen)) == key)
        if not lost:
            return None, None
        return max(0.0, float(np.mean(lost))), float(np.mean(same))

    def deals(self) -> Iterator[npt.NDArray[np.bool_]]:
        """Yield the held-out images of each fold, stratified by whether they hold an object."""
        has = self.judge.true > 0
        folds = min(_FOLDS, int(has.sum()))
        for seed in range(_DEALS if folds > 1 else 0):
            random = np.random.default_rng(seed)
            fold = np.zeros(len(has), np.int64)
            for group in (np.flatnonzero(has), np.flatnonzero(~has)):
                fold[random.permutation(group)] = np.arange(len(group)) % folds
            yield from (fold == number for number in range(folds))

    def against_today(self, phrases: Phrases) -> tuple[float, float] | None:
        """Return the 95 % interval of a set's gain in AP, on the same bootstrap samples; None with one image."""
        return self.judge.found(phrases).better_by(self.judge.found(self.today))
