"""The trainable weights of a detector with their average and optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

_IMAGE_TOWER = "model.backbone."


class _DetectorRates(Protocol):
    """The fields of a recipe or settings that the optimiser reads."""

    @property
    def learning_rate(self) -> float:
        """The learning rate of weights that are not pretrained."""

    @property
    def image_tower_rate(self) -> float:
        """The fraction of it for the image tower."""

    @property
    def weight_decay(self) -> float:
        """The weight decay of matrices outside the image tower."""


@dataclass(frozen=True)
class ScaledRates:
    """The learning rate, the fraction of it for the image tower, and the weight decay."""

    learning_rate: float
    image_tower_rate: float
    weight_decay: float


class LearningWeights:
    """Holds the trainable parameters by name, their average and the optimiser.

    ``start_share`` is the share of the initial parameters in the weights that `mixed` returns.
    """

    def __init__(
        self, parameters: dict[str, nn.Parameter], rates: _DetectorRates, *, fused: bool, start_share: float
    ) -> None:
        self.parameters = parameters
        self._share = start_share
        self._start = {name: each.detach().clone() for name, each in parameters.items()} if start_share else {}
        self.average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        self.optimiser = _optimiser(parameters, rates, fused=fused)

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights."""
        return self.average

    def mixed(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted mean of weights and the initial parameters (Wortsman et al., arXiv 2109.01903)."""
        if not self._start:
            return weights
        return {name: torch.lerp(weight, self._start[name], self._share) for name, weight in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return all trainable weights and the optimiser's state."""
        weights = {name: parameter.detach() for name, parameter in self.parameters.items()}
        return {"parameters": weights, "average": self.average, "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from a saved state."""
        self.put(state["parameters"])
        _copy(state["average"], self.average)
        self.optimiser.load_state_dict(state["optimiser"])

    def put(self, weights: dict[str, Tensor]) -> None:
        """Set the parameters to these values."""
        _copy(weights, self.parameters)

    @contextmanager
    def using(self, weights: dict[str, Tensor]) -> Iterator[None]:
        """Set the parameters to other values while the block runs."""
        kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.put(weights)
        try:
            yield
        finally:
            self.put(kept)


def _optimiser(parameters: dict[str, nn.Parameter], rates: _DetectorRates, *, fused: bool) -> torch.optim.AdamW:
    """Return AdamW: the image tower has a lower rate and no weight decay; vectors have no weight decay.

    Every parameter group stores its full rate as ``base``.
    """
    tower = [parameter for name, parameter in parameters.items() if name.startswith(_IMAGE_TOWER)]
    rest = [parameter for name, parameter in parameters.items() if not name.startswith(_IMAGE_TOWER)]
    full, slow = rates.learning_rate, rates.learning_rate * rates.image_tower_rate
    groups = [
        {"params": [each for each in rest if each.ndim > 1], "weight_decay": rates.weight_decay, "base": full},
        {"params": [each for each in rest if each.ndim <= 1], "weight_decay": 0.0, "base": full},
        {"params": tower, "weight_decay": 0.0, "base": slow},
    ]
    return torch.optim.AdamW(groups, lr=full, betas=(0.9, 0.99), fused=fused)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Any]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
