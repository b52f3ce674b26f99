"""The percentiles of a bootstrap that make a 95 % interval, wider for few draws."""

from __future__ import annotations

from math import sqrt

_FEWEST = 2


def expanded_percentiles(groups: int) -> tuple[float, float] | None:
    """Return the lower and upper percentile for a bootstrap over ``groups`` images or groups of them; None for one.

    They are further apart for fewer groups, as Student's t is wider than a normal distribution (Hesterberg 2015).
    """
    from scipy.special import ndtr, stdtrit

    if groups < _FEWEST:
        return None
    tail = 100 * float(ndtr(-stdtrit(groups - 1, 0.975) * sqrt(groups / (groups - 1))))
    return tail, 100 - tail
