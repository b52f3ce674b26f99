"""Choose the phrases of a class, and tell what of their figure is luck."""

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
    """Chooses among today's phrases, single ones and unions, by AP on the images that count."""

    judge: ClassJudge
    today: Phrases
    others: tuple[str, ...]

    def precision(self, phrases: Phrases, times: _Float64) -> float:
        """Return the AP of a set where image n counts ``times[n]`` times."""
        return self.judge.found(phrases).average_precision(times)

    def singles(self) -> list[Phrases]:
        """Return today's phrases, as they are asked together and one by one, then all others."""
        return list(dict.fromkeys([self.today, *((phrase,) for phrase in (*self.today, *self.others))]))

    def choose(self, times: _Float64) -> Phrases:
        """Return the set of the highest AP: the best of the single ones, then grown while that pays.

        Of equals the earlier one is taken, so that today's stands unless another is better.
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
        """Return a set with the phrases that raise its AP taken in, one after the other, and that AP."""
        kept, figure = start, self.precision(start, times)
        while len(kept) < max(_MOST, len(start) + 1):
            wider = [tuple(sorted({*kept, *one})) for one in beside if not set(one) <= set(kept)]
            best = max(wider, key=lambda one: self.precision(one, times), default=kept)
            if self.precision(best, times) <= figure + _WORTH:
                break
            kept, figure = best, self.precision(best, times)
        return kept, figure

    def unions(self, times: _Float64) -> list[Phrases]:
        """Return the unions to report: of the best single phrase, and of today's, with each of the other good ones."""
        singles = self.singles()
        ranked = sorted(singles, key=lambda one: -self.precision(one, times))
        beside = [one for one in ranked if len(one) == 1][:_BESIDE]
        made = [tuple(sorted({*start, *one})) for start in dict.fromkeys([ranked[0], self.today]) for one in beside]
        known = {tuple(sorted(one)) for one in singles}
        return [one for one in dict.fromkeys([*made, tuple(sorted(self.choose(times)))]) if one not in known]

    def penalty(self, winner: Phrases) -> tuple[float | None, float | None]:
        """Return what of a winner's AP is the luck of having been chosen, and how often another choice was the same.

        Nested cross-validation: images are dealt into parts, and for each part the choice is made anew on the others.
        The penalty is the mean difference, on the part that had no say, between the winner, which has seen it, and
        that choice. None if fewer than two images hold an object.
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
        """Yield which images are held back, fold by fold; those with an object are dealt evenly, and so are others."""
        has = self.judge.true > 0
        folds = min(_FOLDS, int(has.sum()))
        for seed in range(_DEALS if folds > 1 else 0):
            random = np.random.default_rng(seed)
            fold = np.zeros(len(has), np.int64)
            for group in (np.flatnonzero(has), np.flatnonzero(~has)):
                fold[random.permutation(group)] = np.arange(len(group)) % folds
            yield from (fold == number for number in range(folds))

    def against_today(self, phrases: Phrases) -> tuple[float, float] | None:
        """Return the 95 % interval of a set's AP minus today's, on the same resampled images; None with one image."""
        return self.judge.found(phrases).better_by(self.judge.found(self.today))
