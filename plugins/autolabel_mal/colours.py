"""Colour evidence for the object: the foreground and background histograms of one crop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autolabel.transfer import to_device

BINS = 8
"""The bins of each channel."""
_REACH = 2.0
"""Standardised colours beyond this fall into the outermost bins."""
_BLUR = (0.25, 0.5, 0.25)
"""The weights by which a pixel counts in neighbouring bins, along each channel."""
PRIOR_PIXELS = 0.5
"""Pixels of either kind that every bin is given in advance: an unseen colour speaks for nothing."""


def colour_evidence(probabilities: Tensor, colours: Tensor) -> Tensor:
    """Return the log-odds (B, h, w) that each pixel belongs to the object, from its colour alone.

    Histograms over ``colours`` (B, 3, h, w; mean 0, deviation 1) are weighted by ``probabilities`` (B, h, w) and their
    complement, each scaled to the same total: colours that object and background share give 0. This is the colour model
    of GrabCut (Rother et al. 2004) with histograms in place of Gaussians. An empty object gives finite values.
    """
    places = _places(colours)
    weights = probabilities.flatten(1)
    inner, outer = _histogram(places, weights), _histogram(places, 1 - weights)
    prior = PRIOR_PIXELS / weights.shape[1]
    return torch.log((inner + prior) / (outer + prior)).gather(1, places).reshape(probabilities.shape)


def _places(colours: Tensor) -> Tensor:
    red, green, blue = ((colours + _REACH) * (BINS / (2 * _REACH))).long().clamp(0, BINS - 1).flatten(2).unbind(1)
    return (red * BINS + green) * BINS + blue


def _histogram(places: Tensor, weights: Tensor) -> Tensor:
    """Return (B, BINS**3) shares that add up to 1, or to less where the weights add up to less than a pixel."""
    counts = weights.new_zeros(len(weights), BINS**3).scatter_add_(1, places, weights)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    cube = shares.reshape(-1, 1, BINS, BINS, BINS)
    kernel = to_device(torch.tensor(_BLUR, dtype=cube.dtype), cube.device)
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = len(_BLUR), 1
        cube = functional.conv3d(cube, kernel.reshape(shape), padding=padding)
    return cube.flatten(1)
