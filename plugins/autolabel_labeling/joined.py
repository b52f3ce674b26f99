"""Several linear layers of the same rows as one product."""

from __future__ import annotations

import torch
from torch import nn


def joined(*layers: nn.Linear) -> nn.Linear:
    """Return one layer that gives what several give of the same rows, one beside the other, with biases or without."""
    whole = nn.Linear(layers[0].in_features, sum(layer.out_features for layer in layers), bias=False, device="meta")
    whole.weight = nn.Parameter(torch.cat([layer.weight.detach() for layer in layers]), requires_grad=False)
    if layers[0].bias is not None:
        whole.bias = nn.Parameter(torch.cat([layer.bias.detach() for layer in layers]), requires_grad=False)
    return whole
