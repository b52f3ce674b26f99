"""The trainable part of the network, and its learning rates."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from autolabel_mal.lite import LiteBackbone
from autolabel_mal.network import MalNetwork
from autolabel_mal.vit import VisionTransformer


class MaskRates(Protocol):
    """The fields of a recipe or settings that the optimiser reads."""

    @property
    def learning_rate(self) -> float:
        """Learning rate of the heads."""

    @property
    def backbone_factor(self) -> float:
        """Factor of the learning rate for the backbone."""

    @property
    def weight_decay(self) -> float:
        """The weight decay of matrices."""


def freeze(network: MalNetwork, stages: int) -> None:
    """Freeze the stem and `stages` stages or blocks; -1 freezes nothing."""
    if stages < 0:
        return
    backbone = network.backbone
    if isinstance(backbone, LiteBackbone):
        modules: list[nn.Module] = [backbone.body.stem, *backbone.body.stages[:stages]]
    elif isinstance(backbone, VisionTransformer):
        modules = [backbone.patch_embed, *backbone.blocks[:stages]]
    else:
        raise TypeError(f"unknown backbone {type(backbone).__name__}")
    for module in modules:
        module.requires_grad_(False)


def build_optimiser(network: MalNetwork, rates: MaskRates) -> torch.optim.AdamW:
    """Return AdamW over what is not frozen: pretrained weights have a lower learning rate, vectors no weight decay.

    Each group has its full learning rate as ``base``.
    """
    pretrained = _pretrained(network)
    groups = []
    for slow in (False, True):
        for decays in (False, True):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if parameter.requires_grad and name.startswith(pretrained) == slow and (parameter.ndim > 1) == decays
            ]
            base = rates.learning_rate * (rates.backbone_factor if slow else 1.0)
            decay = rates.weight_decay if decays else 0.0
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "base": base})
    return torch.optim.AdamW(groups, lr=rates.learning_rate, betas=(0.9, 0.99))


def _pretrained(network: MalNetwork) -> str:
    return "backbone.body." if network.sizes.lite else "backbone."
