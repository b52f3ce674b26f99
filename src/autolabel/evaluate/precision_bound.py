"""Find the loosest score threshold whose precision is guaranteed by a sample of checked images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

_Float64 = npt.NDArray[np.float64]
_Int64 = npt.NDArray[np.int64]

STARTS = 5
"""The number of thresholds over which the risk is distributed evenly."""
_SPENT = 0.5
"""The part of the risk that the tests may spend; the rest is for the effective number being an estimate itself."""
_MOST_TIMES = 1000.0
"""Estimates of further checks are limited to this multiple of the checked images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelCounts:
    """Counts over the checked images at T thresholds, the strictest first; all (T,) float64."""

    found: _Float64
    """Boxes at or above the threshold."""
    right: _Float64
    """Boxes that are right."""
    images: _Float64
    """Images with such a box."""
    spread: _Float64
    """Sum over images of (right - wanted precision * found) squared: large where mistakes come together."""
    crowd: _Float64
    """The number of such boxes in the image of a typical box."""
    part: _Float64
    """The share of all images of the run with such a box that was checked; 1 if every one was."""

    def times(self, factor: float, most: float = _MOST_TIMES) -> LevelCounts:
        """Scale the counts to ``factor`` times as many similar images; ``most`` times as many are all images."""
        more = {name: getattr(self, name) * factor for name in ("found", "right", "images", "spread")}
        left = (1 - self.part) * max(0.0, most - factor) / max(most - 1, 1e-9)
        return replace(self, **more, part=1 - left)


def tally(right: _Int64, found: _Int64, *, precision: float, part: _Float64 | None = None) -> LevelCounts:
    """Sum up (T, images) counts of right and of all boxes at T thresholds.

    ``part``, (T,), is the share of the run's images with such a box that was checked; None if that is next to 0.
    """
    total = found.sum(axis=1).astype(np.float64)
    return LevelCounts(
        found=total,
        right=right.sum(axis=1).astype(np.float64),
        images=(found > 0).sum(axis=1).astype(np.float64),
        spread=((right - precision * found) ** 2).sum(axis=1),
        crowd=(found**2).sum(axis=1) / np.maximum(total, 1),
        part=np.zeros(len(total)) if part is None else part,
    )


def chances(checked: LevelCounts, *, precision: float, risk: float) -> _Float64:
    """Return p-values (T,) of the hypothesis that the precision is at most ``precision``.

    Clopper and Pearson's test on the effective number of boxes: because mistakes cluster in images, the number is
    divided by the design effect and corrected for the degrees of freedom (Korn and Graubard, Survey Methodology 24,
    1998). The design effect is computed at the requested precision, is at least 1, and includes one extra image with
    only wrong boxes, so that a few faultless images give no strong guarantee. The variance is that of sampling without
    replacement, and so becomes 0 if all images are checked. 1 if fewer than two images have a box.
    """
    from scipy.special import betainc, stdtrit

    wrong_image = (precision * checked.crowd) ** 2
    variance = precision * (1 - precision) * np.maximum(checked.found + checked.crowd, 1e-9)
    effect = np.maximum(1, (checked.spread + wrong_image) / variance)
    freedom = np.maximum(checked.images - 1, 1)
    few = np.minimum(1, (stdtrit(1e9, 1 - risk) / stdtrit(freedom, 1 - risk)) ** 2)
    every = checked.part >= 1 - 1e-9
    boxes = checked.found / effect * few / np.where(every, 1.0, 1 - checked.part)
    right = checked.right / np.maximum(checked.found, 1) * boxes
    tail = betainc(np.maximum(right, 1e-9), boxes - right + 1, precision)
    sampled = np.where((right > 0) & (checked.images >= 2), tail, 1.0)
    exact = np.where((checked.right >= precision * checked.found - 1e-9) & (checked.right > 0), 0.0, 1.0)
    out: _Float64 = np.where(every, exact, sampled)
    return out


def starts(count: int) -> list[bool]:
    """Return which of ``count`` thresholds get a share of the risk: the loosest, and others evenly above it."""
    places = {count - 1 - round(number * count / STARTS) for number in range(STARTS)}
    return [place in places for place in range(count)]


def loosest(checked: LevelCounts, *, precision: float, confidence: float) -> int | None:
    """Return the place of the loosest threshold that keeps ``precision`` with ``confidence``; None if none does.

    Thresholds are tested from strict to loose. The risk is distributed over a few of them; a threshold that passes
    passes its share on to the next, one that fails loses it (the fallback procedure of Wiens and Dmitrienko, 2005, as
    in Learn then Test), so the total risk is at most 1 - confidence.
    """
    risk = (1 - confidence) * _SPENT
    return first_fallback(chances(checked, precision=precision, risk=risk / STARTS), risk)


def first_fallback(found: _Float64, risk: float) -> int | None:
    """Return the place of the loosest test that passes by the fallback procedure; ``found`` are p-values, (T,)."""
    granted = starts(len(found))
    at_hand, best = 0.0, None
    for place, chance in enumerate(found.tolist()):
        at_hand += risk / sum(granted) if granted[place] else 0.0
        if chance <= at_hand:
            best = place
        else:
            at_hand = 0.0
    return best


def more_times(checked: LevelCounts, *, precision: float, confidence: float, most: float = _MOST_TIMES) -> float | None:
    """Estimate the factor by which to increase the checked images, if they are similar; None if none suffices.

    ``most`` times as many are all images of the run, for which the result is exact.
    """

    def enough(factor: float) -> bool:
        return loosest(checked.times(factor, most), precision=precision, confidence=confidence) is not None

    too_few, plenty = 1.0, most
    if plenty <= 1 or not enough(plenty):
        return None
    while plenty / too_few > 1.01:
        middle = math.sqrt(too_few * plenty)
        too_few, plenty = (too_few, middle) if enough(middle) else (middle, plenty)
    return plenty


def faultless_images(*, precision: float, confidence: float) -> int:
    """Return the number of images with one right box each that suffices if nothing was checked so far."""
    count = max(2, int(math.log((1 - confidence) * _SPENT) / math.log(precision)))
    while loosest(singles(count, precision), precision=precision, confidence=confidence) is None:
        count += 1
    return count


def singles(count: int, precision: float) -> LevelCounts:
    """Return the record of ``count`` images with one right box each, at one threshold."""
    ones = np.ones((1, count), np.int64)
    return tally(ones, ones, precision=precision)
