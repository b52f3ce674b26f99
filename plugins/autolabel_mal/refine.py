"""Refine masks by the colours of their crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autolabel.transfer import to_device
from autolabel_mal.colours import colour_evidence
from autolabel_mal.crop import CropRegion, box_profiles
from autolabel_mal.mean_field import mean_field, standardised

_SURE = 0.02
"""Probabilities are clipped to this distance from 0 and 1, so that colours can overrule them."""

_LEAST = 1e-4
"""Thresholds are clipped to this distance from 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The parameters of the colour refinement; the defaults were chosen on dev sets with the shipped checkpoint."""

    colour_weight: float = 1.0
    """Weight of the colours' log-odds where the mean field begins; 0 is the CRF of MAL's paper."""
    zeta: float = 0.4
    """Colour distance beyond which pixels hardly influence each other, in standard deviations of the crop's colours."""
    kernel: int = 3
    iterations: int = 10
    ceiling: float = 0.9
    """Highest certainty of a pixel in the mean field; the lowest is 1 - ceiling."""


def settled(probabilities: Tensor, colours: Tensor, inside: Tensor, field: Field) -> Tensor:
    """Return the mean-field probabilities (B, h, w), initialised with the given ones and the colour evidence.

    ``colours`` (B, 3, h, w) come from ``standardised``; ``inside`` (B, h, w) is 1 in the box, 0 outside.
    """
    odds = torch.logit(probabilities, eps=_SURE)
    if field.colour_weight:
        odds = odds + field.colour_weight * colour_evidence(probabilities * inside, colours)
    return mean_field(
        odds.sigmoid(),
        colours,
        inside,
        zeta=field.zeta,
        kernel=field.kernel,
        iterations=field.iterations,
        ceiling=field.ceiling,
    )


def refine(
    logits: Tensor,
    crops: Tensor,
    regions: Sequence[CropRegion],
    thresholds: Sequence[float],
    *,
    field: Field | None = None,
) -> Tensor:
    """Return logits (B, h, h) refined by their crops (B, side, side, 3) of 0..255.

    A pixel at its crop's threshold (a probability) counts as undecided in input and output.
    """
    side = logits.shape[-1]
    lines = [box_profiles(at, side) for at in regions]
    rows, columns = (
        to_device(torch.from_numpy(np.stack(part)), logits.device).to(logits.dtype) for part in zip(*lines, strict=True)
    )
    decisions = torch.logit(to_device(torch.tensor(thresholds), logits.device), eps=_LEAST)[:, None, None]
    colours = standardised(crops, side)
    inside = rows[:, :, None] * columns[:, None, :]
    return torch.logit(settled((logits - decisions).sigmoid(), colours, inside, field or Field())) + decisions
