"""Time work on a device: it is waited for before and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch


def synchronise(device: str) -> None:
    """Wait until a card has done all that it was given; nothing elsewhere."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], Any], device: str, *, warm: int = 2, turns: int = 5, most: float = 10.0) -> float:
    """Return the median wall seconds of a call after some that are not counted; fewer turns where they take long."""
    for _ in range(warm):
        work()
    taken: list[float] = []
    while len(taken) < turns and sum(taken) < most:
        synchronise(device)
        began = time.perf_counter()
        work()
        synchronise(device)
        taken.append(time.perf_counter() - began)
    return median(taken)


def matrix_rate(device: str, dtype: torch.dtype, *, side: int) -> float:
    """Return the floating point operations a second of a square matrix product of random numbers."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: left @ right, device, turns=10, most=2.0)
