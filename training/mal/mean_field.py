"""Mean-field inference on a grid of pixels whose neighbours agree where their colours do."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def mean_field(
    probabilities: Tensor, colours: Tensor, inside: Tensor, *, zeta: float, kernel: int, iterations: int, ceiling: float
) -> Tensor:
    """Return the probabilities (B, h, w) that a CRF over colours (B, 3, h, w) settles on.

    The CRF of MAL (arXiv 2301.03992, section 3.3): pixel i takes part in the label of pixel j of its kernel x kernel
    neighbourhood with weight exp(-|c_i - c_j|^2 / (2 zeta^2)); itself with weight 1. With two labels one update of the
    mean field is a sum of log-odds: s_i <- sum_j K_ij s_j. Certainties stay in 1 - ceiling .. ceiling, and pixels
    outside the box (``inside`` (B, h, w), 0 or 1) at the floor. Nothing inside gives the floor everywhere.
    """
    weights = affinities(colours, zeta=zeta, kernel=kernel)
    limit = math.log(ceiling / (1 - ceiling))
    odds = _bounded(torch.logit(probabilities, eps=1e-6), inside, limit)
    for _ in range(iterations):
        odds = _bounded(_gather(odds, weights, kernel), inside, limit)
    return odds.sigmoid()


def affinities(colours: Tensor, *, zeta: float, kernel: int) -> Tensor:
    """Return (B, kernel**2, h, w): how much each neighbour, row by row, counts; 0 where it lies off the grid."""
    batch, channels, height, width = colours.shape
    shape = (batch, channels, kernel * kernel, height, width)
    neighbours = functional.unfold(colours, kernel, padding=kernel // 2).reshape(shape)
    on_grid = functional.unfold(torch.ones_like(colours[:1, :1]), kernel, padding=kernel // 2)
    distance = (neighbours - colours[:, :, None]).square().sum(1)
    return torch.exp(-distance / (2 * zeta**2)) * on_grid.reshape(1, kernel * kernel, height, width)


def standardised(crops: Tensor, side: int) -> Tensor:
    """Map crops (B, S, S, 3) of 0..255 to colours (B, 3, side, side): averaged over areas, mean 0, deviation 1."""
    pixels = functional.adaptive_avg_pool2d(crops.permute(0, 3, 1, 2).float(), side)
    centred = pixels - pixels.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + 1)


def _bounded(odds: Tensor, inside: Tensor, limit: float) -> Tensor:
    return torch.where(inside > 0, odds.clamp(-limit, limit), -limit)


def _gather(odds: Tensor, weights: Tensor, kernel: int) -> Tensor:
    neighbours = functional.unfold(odds[:, None], kernel, padding=kernel // 2)
    return (neighbours.reshape(weights.shape) * weights).sum(1)
