"""Swin's layers with few copies: one gather takes rows into windows, and windows that mask alike share a mask."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autolabel_labeling.half import HalfLinear
from autolabel_labeling.joined import joined

_APART = -100.0
"""Added to the logits of two places that only the shift brought into one window, as transformers does."""
_SCORES = 150 * 49**2
"""Weights of attention at a time in bfloat16: they stay in the processor's cache."""


class WindowLayer(nn.Module):
    """Stand-in for transformers' ``SwinLayer`` on a CPU: the same weights, the same result.

    The map is never padded, shifted or cut: one gather takes its rows into windows, another takes them back.
    """

    _biases: Tensor

    def __init__(self, stock: Any) -> None:
        super().__init__()
        attention = stock.attention
        self._window, self._shift, self._heads = stock.window_size, stock.shift_size, attention.num_attention_heads
        self._scale, self._kind, self._few = attention.scaling, torch.float32, sys.maxsize
        self.before, self.after, self.mlp = stock.layernorm_before, stock.layernorm_after, stock.mlp
        self.project: Any = joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self.leave: Any = attention.o_proj
        with torch.no_grad():
            biases = attention.relative_position_bias() + _masks(self._window, self._shift)[:, None]
        self.register_buffer("_biases", biases, persistent=False)

    def halve(self) -> None:
        """Round the products before and after the attention to bfloat16."""
        self.project = HalfLinear(self.project, result=torch.bfloat16)
        self.leave = HalfLinear(self.leave, result=torch.bfloat16)
        self._kind, self._few = torch.bfloat16, max(1, _SCORES // (self._heads * self._window**4))

    def forward(
        self, hidden_states: Tensor, input_dimensions: tuple[int, int], always_partition: bool = False
    ) -> tuple[Tensor, None]:
        """Return (batch, height * width, channels) for the same; attention weights are not returned.

        A map no larger than a window is shifted only with ``always_partition``, and padded to a window if smaller.
        """
        count, places, width = hidden_states.shape
        shift = self._shift if always_partition or min(input_dimensions) > self._window else 0
        windows, back = _windows(input_dimensions, self._window, shift)
        rows = torch.empty(count, places + 1, width, dtype=self._kind)  # the last one stands for padding
        rows[:, :-1], rows[:, -1] = self.before(hidden_states), 0
        taken = [self._attend(image, windows).flatten(0, 1)[None] for image in rows]
        left = self.leave(torch.cat(taken) if count > 1 else taken[0]).index_select(1, back)
        hidden = hidden_states + left
        made: Tensor = self.mlp(self.after(hidden)).add_(hidden)
        return made, None

    def _attend(self, rows: Tensor, windows: list[Tensor]) -> Tensor:
        """Return (windows, places, channels) for the rows of one image; windows (n, places) come by kind of mask."""
        projected = self.project(rows.index_select(0, torch.cat(windows).flatten()))
        parts = projected.view(-1, self._window**2, 3, self._heads, rows.shape[-1] // self._heads)
        made = rows.new_empty(len(parts), self._window**2, self._heads, parts.shape[-1])
        begin = 0
        for kind, bias in zip(windows, self._biases, strict=False):
            end = begin + len(kind)
            for first in range(begin, end, self._few):
                some = slice(first, min(first + (self._few), end))
                queries, keys, values = parts[some].permute(2, 0, 3, 1, 4)
                made[some] = self._mix(queries, keys, values, bias).transpose(1, 2)
            begin = end
        return made.flatten(2)

    def _mix(self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Return (windows, heads, places, channels) for the same of queries, keys and values.

        torch's fused attention multiplies bfloat16 no faster than float32 in windows as small as these.
        """
        if self._kind == torch.float32:
            return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias[None])
        each = queries.shape[:3]
        queries, keys, values = (of.flatten(0, 1) for of in (queries, keys, values))
        scores = torch.bmm(queries, keys.transpose(1, 2)).view(*each, -1)
        weights = torch.add(bias, scores, alpha=self._scale).softmax(-1).to(self._kind)
        return torch.bmm(weights.flatten(0, 1), values).view(*each, -1)


def gather_windows(model: nn.Module) -> None:
    """Replace the layers of every Swin under a module."""
    for name, child in list(model.named_children()):
        if type(child).__name__ == "SwinLayer":
            setattr(model, name, WindowLayer(child))
        else:
            gather_windows(child)


def _windows(size: tuple[int, int], window: int, shift: int) -> tuple[list[Tensor], Tensor]:
    """Return the places of a map (height, width) in each window, and where in the windows each place is.

    Windows (n, places) come in up to four groups: inner ones, those across the right border of the shifted map, across
    the lower border, across both. A place beyond the map has the number height * width.
    """
    height, width = size
    rows, columns = (-(-side // window) * window for side in size)
    down, right = (torch.arange(rows) + shift) % rows, (torch.arange(columns) + shift) % columns
    inside = (down < height)[:, None] & (right < width)
    places = torch.where(inside, down[:, None] * width + right, height * width)
    grid = places.view(rows // window, window, columns // window, window).transpose(1, 2)
    groups = [grid[:-1, :-1], grid[:-1, -1:], grid[-1:, :-1], grid[-1:, -1:]] if shift else [grid]
    windows = [group.reshape(-1, window**2) for group in groups]
    order = torch.cat(windows).flatten()
    back = torch.empty(height * width + 1, dtype=torch.long)
    back[order] = torch.arange(len(order))
    return windows, back[:-1]


def _masks(window: int, shift: int) -> Tensor:
    """Return (1 or 4, places, places), added to logits in the groups of windows."""
    beyond = torch.arange(window) >= window - shift
    lower, right = beyond[:, None].expand(window, window).flatten(), beyond.repeat(window)
    across, down = right[:, None] != right, lower[:, None] != lower
    inner = torch.zeros_like(across)
    apart = torch.stack([inner, across, down, across | down] if shift else [inner])
    return apart * _APART
