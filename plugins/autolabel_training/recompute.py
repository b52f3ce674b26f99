"""Gradient checkpointing: layers whose activations are computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(layers: Iterable[nn.Module]) -> None:
    """Keep only the inputs of these layers for the backward pass (Chen et al. 2016); results are the same.

    The memory of a step is then that of its largest layer and all inputs; each layer is computed twice.
    """
    for layer in layers:
        layer.forward = partial(_forward, layer.forward)


def _forward(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return inner(*args, **kwargs)
    return checkpoint(inner, *args, use_reentrant=False, **kwargs)
