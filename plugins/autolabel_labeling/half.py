"""Linear layers that multiply in bfloat16: weights are rounded and laid out once, sums and results stay wide.

Processors with AVX512-BF16 or AMX multiply bfloat16 two to four times as fast as float32. What is not a product of
matrices gains nothing from it and stays in float32: sums of layers, norms, softmax, convolutions, sampled places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_ROWS = 1024
"""Rows at a time: their copies in bfloat16 stay in the processor's cache."""

Activation = Literal["none", "relu", "gelu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda rows: rows,
    "relu": functional.relu_,
    "gelu": functional.gelu,
}


class HalfLinear(nn.Module):
    """Stand-in for ``nn.Linear``: float32 in, a product in bfloat16, ``result`` out."""

    def __init__(
        self, stock: nn.Linear, *, activation: Activation = "none", result: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.out_features, self._result = stock.out_features, result
        self._product = _product(stock, activation)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (..., out) for (..., in)."""
        return _in_parts(self._product, rows, self.out_features, self._result)


class LaidOutLinear(nn.Module):
    """Stand-in for ``nn.Linear`` that stays in float32: oneDNN's product, with weights laid out for it.

    It rounds otherwise than torch's own on some processors, and is up to a fifth quicker there.
    """

    def __init__(self, stock: nn.Linear) -> None:
        super().__init__()
        self.out_features = stock.out_features
        self._product = _product(stock, "none", torch.float32)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (..., out) for (..., in), both in float32."""
        return self._product(rows)


class HalfPerceptron(nn.Module):
    """Stand-in for two linear layers with an activation between them; the wide rows never leave bfloat16."""

    def __init__(self, widen: nn.Linear, narrow: nn.Linear, activation: Activation) -> None:
        super().__init__()
        self.out_features = narrow.out_features
        self._widen, self._narrow = _product(widen, activation), _product(narrow, "none")

    def forward(self, rows: Tensor) -> Tensor:
        """Return (..., out) in float32 for (..., in)."""
        return _in_parts(lambda part: self._narrow(self._widen(part)), rows, self.out_features, torch.float32)


def _in_parts(work: Callable[[Tensor], Tensor], rows: Tensor, width: int, result: torch.dtype) -> Tensor:
    """Return what ``work`` makes of rows (..., in) in bfloat16, on a CPU some at a time, as (..., width)."""
    if rows.device.type != "cpu":
        return work(rows.bfloat16()).to(result)
    flat = rows.reshape(-1, rows.shape[-1])
    if rows.dtype == result == torch.bfloat16 and len(flat):
        return work(flat).view(*rows.shape[:-1], width)
    made = flat.new_empty(len(flat), width, dtype=result)
    if len(flat):
        for place, part in zip(torch.split(made, _ROWS), torch.split(flat, _ROWS), strict=True):
            place.copy_(work(part.bfloat16()))
    return made.view(*rows.shape[:-1], width)


def _product(
    stock: nn.Linear, activation: Activation, kind: torch.dtype = torch.bfloat16
) -> Callable[[Tensor], Tensor]:
    """Return a linear layer on ``kind`` with what follows it: oneDNN's with weights laid out for it, else torch's."""
    weight = stock.weight.detach().to(kind)
    bias = None if stock.bias is None else stock.bias.detach().to(kind)
    if weight.device.type != "cpu" or not _packs():
        follow = _ACTIVATIONS[activation]
        return lambda rows: follow(functional.linear(rows, weight, bias))
    oneDNN: Any = torch.ops.mkldnn
    packed = oneDNN._reorder_linear_weight(weight, _ROWS)
    return lambda rows: oneDNN._linear_pointwise(rows, packed, bias, activation, [], "none")


def _packs() -> bool:
    """Return whether oneDNN multiplies bfloat16 on this processor, and this torch lets weights be laid out for it."""
    oneDNN: Any = torch.ops.mkldnn
    names = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
    return all(hasattr(oneDNN, name) for name in names) and bool(oneDNN._is_mkldnn_bf16_supported())


def halve(model: nn.Module, *, leave: Callable[[str, nn.Module], bool] = lambda name, module: False) -> None:
    """Replace the linear layers under a module; those under a child that ``leave`` names stay as they are."""
    for name, child in list(model.named_children()):
        if leave(name, child):
            continue
        if type(child) is nn.Linear:
            setattr(model, name, HalfLinear(child))
        else:
            halve(child, leave=leave)
