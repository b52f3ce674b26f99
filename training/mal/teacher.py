"""The teacher: a running average of the student's weights (EMA)."""

from __future__ import annotations

import copy

import torch

from autolabel_mal.network import MalNetwork


class Teacher:
    """A copy of the student that follows it slowly; its weights are the ones that ship."""

    def __init__(self, student: MalNetwork, momentum: float) -> None:
        self.network = copy.deepcopy(student).eval().requires_grad_(False)
        self._momentum = momentum

    @torch.no_grad()
    def follow(self, student: MalNetwork, step: int) -> None:
        """Move towards the student: fast in the first steps, then with 1 - momentum."""
        momentum = min(self._momentum, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.network.parameters()), list(student.parameters()), 1 - momentum)
