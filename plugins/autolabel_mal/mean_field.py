"""Mean-field inference in a pixel grid CRF with colour affinities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional


def mean_field(
    probabilities: Tensor, colours: Tensor, inside: Tensor, *, zeta: float, kernel: int, iterations: int, ceiling: float
) -> Tensor:
    """Return the probabilities (B, h, w) after mean-field updates of a CRF over colours (B, 3, h, w).

    The CRF of MAL (arXiv 2301.03992, section 3.3): pixel i influences pixel j of its kernel x kernel neighbourhood with
    weight exp(-|c_i - c_j|^2 / (2 zeta^2)); itself with weight 1. With two labels one update of the mean field is a sum
    of log-odds: s_i <- sum_j K_ij s_j. Probabilities stay in 1 - ceiling .. ceiling; pixels outside the box (``inside``
    (B, h, w), 0 or 1) stay at the minimum. An empty box gives the minimum everywhere.
    """
    weights = affinities(colours, zeta=zeta, kernel=kernel)
    limit = log_odds(ceiling)
    odds = _bounded(torch.logit(probabilities, eps=1e-6), inside, limit)
    for _ in range(iterations):
        odds = _bounded(_gather(odds, weights, kernel), inside, limit)
    return odds.sigmoid()


def log_odds(probability: float) -> float:
    """Return log(p / (1 - p))."""
    return math.log(probability / (1 - probability))


def affinities(colours: Tensor, *, zeta: float, kernel: int) -> list[Tensor]:
    """Return kernel**2 maps (B, h, w), row by row of the kernel: how much each neighbour counts, 0 off the grid."""
    on_grid = torch.ones_like(colours[:1, 0])
    return [
        torch.exp(-(neighbour - colours).square().sum(1) / (2 * zeta**2)) * present
        for neighbour, present in zip(_shifted(colours, kernel), _shifted(on_grid, kernel), strict=True)
    ]


def standardised(crops: Tensor, side: int) -> Tensor:
    """Map crops (B, S, S, 3) of 0..255 to colours (B, 3, side, side): averaged over areas, mean 0, deviation 1."""
    pixels = functional.adaptive_avg_pool2d(crops.permute(0, 3, 1, 2).float(), side)
    centred = pixels - pixels.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + 1)


def _bounded(odds: Tensor, inside: Tensor, limit: float) -> Tensor:
    return torch.where(inside > 0, odds.clamp(-limit, limit), -limit)


def _gather(odds: Tensor, weights: list[Tensor], kernel: int) -> Tensor:
    total = torch.zeros_like(odds)
    for neighbour, weight in zip(_shifted(odds, kernel), weights, strict=True):
        total.addcmul_(neighbour, weight)
    return total


def _shifted(maps: Tensor, kernel: int) -> Iterator[Tensor]:
    """Yield the maps (..., h, w) as seen from each neighbour of a kernel, zeros beyond the edge."""
    height, width = maps.shape[-2:]
    reach = kernel // 2
    padded = functional.pad(maps, (reach,) * 4)
    for row, column in product(range(kernel), repeat=2):
        yield padded[..., row : row + height, column : column + width]
