"""Random weights of a sensible size, with which every tensor matters."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def fill(model: torch.nn.Module, *, small: Sequence[str]) -> None:
    """Fill a model; vectors, and parameters whose names contain one of ``small``, get small numbers."""
    for name, parameter in model.named_parameters():
        scale = 0.2 if parameter.ndim < 2 or any(part in name for part in small) else 1.2 / parameter[0].numel() ** 0.5
        torch.nn.init.normal_(parameter, std=scale)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            buffer.normal_()
