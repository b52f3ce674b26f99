"""The learning rate schedule."""

from __future__ import annotations

import math

_LOWEST = 0.01


def rate_factor(step: int, steps: int, *, warmup: int, cooldown: float) -> float:
    """Return a step's factor of the learning rate.

    It rises linearly over `warmup` steps, stays at 1, and falls along a cosine to a hundredth over the last part
    `cooldown` of all `steps`.
    """
    start = steps * (1 - cooldown)
    if step < warmup:
        return (step + 1) / warmup
    if step < start:
        return 1.0
    part = (step - start) / max(1, steps - start)
    return _LOWEST + (1 - _LOWEST) * (0.5 + 0.5 * math.cos(math.pi * part))
