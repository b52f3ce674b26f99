"""The compiled deformable attention equals transformers' own, forward and backward."""

from __future__ import annotations

import torch
from transformers.models.grounding_dino.modeling_grounding_dino import MultiScaleDeformableAttention

from autolabel_training.deformable import CompiledDeformableAttention

SHAPES = [(6, 5), (3, 3)]
STARTS = [0, 30]


def test_values_and_gradients_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 39, 2, 8, generator=generator)
    places = torch.rand(2, 7, 2, 2, 3, 2, generator=generator) * 1.4 - 0.2  # some outside the map
    weights = torch.rand(2, 7, 2, 2, 3, generator=generator)
    arriving = torch.randn(2, 7, 16, generator=generator)
    results = []
    for attention in (MultiScaleDeformableAttention(), CompiledDeformableAttention()):
        leaves = [tensor.clone().requires_grad_() for tensor in (value, places, weights)]
        output = attention(leaves[0], torch.tensor(SHAPES), SHAPES, torch.tensor(STARTS), leaves[1], leaves[2], 64)
        output.backward(arriving)
        results.append([output.detach(), *(leaf.grad for leaf in leaves)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
