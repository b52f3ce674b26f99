"""The exponential moving average (EMA) of weights, which is evaluated on dev and exported."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def follow(averages: Iterable[Tensor], weights: Iterable[Tensor], *, momentum: float, step: int) -> None:
    """Move averages towards the weights: fast in the first steps, then by 1 - momentum."""
    momentum = min(momentum, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averages), [weight.detach() for weight in weights], 1 - momentum)
