"""The layers of a Grounding DINO that multiply in bfloat16 on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autolabel_grounding_dino.deformable import FusedAttention
from autolabel_grounding_dino.feed_forward import FeedForward
from autolabel_grounding_dino.fusion import ReassociatedFusion
from autolabel_labeling.half import Activation, HalfLinear, HalfPerceptron, LaidOutLinear, halve
from autolabel_labeling.windows import WindowLayer

_PLACES = ("bbox_embed", "drawing")
"""Layers that say where to look and where boxes lie: in bfloat16 they move half as many boxes as all others do."""


def halve_towers(model: Any) -> None:
    """Round the linear layers of the vision tower, the encoder and the decoder to bfloat16, once and for all.

    The text encoder, which reads a phrase once, stays as it is; what ranks places, and what says where they are, stay
    in float32.
    """
    for module in list(model.modules()):
        if isinstance(module, WindowLayer | ReassociatedFusion):
            module.halve()
        for name, part in list(module.named_children()):
            if isinstance(part, FeedForward):
                setattr(module, name, HalfPerceptron(part.widen, part.narrow, "relu"))
            elif type(part).__name__ == "SwinMLP" and (activation := _activation(part)):
                setattr(module, name, HalfPerceptron(part.fc1, part.fc2, activation))
            elif isinstance(part, FusedAttention):
                part.value_proj = HalfLinear(part.value_proj, result=torch.bfloat16)
                part.drawing = LaidOutLinear(part.drawing)
    for tower in (model.backbone, model.encoder, model.decoder):
        halve(tower, leave=_stays)
    model.enc_output = LaidOutLinear(model.enc_output)


def _activation(perceptron: Any) -> Activation | None:
    """Return the activation of transformers' perceptron; None if no layer here has it."""
    exact = type(perceptron.activation_fn).__name__ == "GELUActivation"
    return "gelu" if exact else None


def _stays(name: str, module: nn.Module) -> bool:
    return name in _PLACES or isinstance(module, ReassociatedFusion)
