"""One step of gradient descent: its rate, its clipped gradient, the precision of the network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from autolabel_training.schedule import rate_factor


class OptimizerSettings(Protocol):
    """The optimiser's settings in a recipe."""

    @property
    def batch(self) -> int:
        """Samples of a step."""

    @property
    def steps(self) -> int:
        """Steps of the whole run."""

    @property
    def warmup(self) -> int:
        """Steps over which the rate rises."""

    @property
    def cooldown(self) -> float:
        """Last part of the steps, over which it falls."""

    @property
    def clip(self) -> float:
        """Largest norm of a gradient."""


def optimizer_step(optimiser: torch.optim.Optimizer, loss: Tensor, course: OptimizerSettings, *, step: int) -> float:
    """Take one step, each group at its `base` rate times the schedule's factor, and return the gradient's norm.

    The gradient is clipped; a step with a non-finite gradient is skipped.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    learning = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(learning, course.clip)
    factor = rate_factor(step, course.steps, warmup=course.warmup, cooldown=course.cooldown)
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * factor
    if torch.isfinite(norm):
        optimiser.step()
    return float(norm)


def network_precision(device: torch.device, *, on_cpu: bool = False) -> AbstractContextManager[Any]:
    """Run the network in bfloat16 on a GPU; code outside the block, such as the loss, stays in float32.

    With ``on_cpu`` also on a CPU, which is faster on processors with bfloat16 instructions (AVX512-BF16, AMX).
    """
    half = device.type == "cuda" or on_cpu
    return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()
