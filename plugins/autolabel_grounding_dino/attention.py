"""Self- and cross-attention without materialised attention weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class TablelessAttention(nn.Module):
    """Stand-in for transformers' ``GroundingDinoMultiheadAttention`` with the same weights and the same result.

    Uses torch's fused attention, which never stores the (queries x keys) weights of a head. Inference only: no dropout.
    """

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out_proj: nn.Linear

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.num_heads = stock.num_attention_heads
        for name in ("query", "key", "value", "out_proj"):
            self.add_module(name, getattr(stock, name))

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        attention_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, None]:
        """Return (batch, Q, width) for queries (batch, Q, width), keys and values (batch, K, width).

        ``attention_mask`` is added to the logits and must broadcast to (batch, heads, Q, K). Weights are not kept.
        """
        taken = functional.scaled_dot_product_attention(
            self._heads(self.query(queries)),
            self._heads(self.key(keys)),
            self._heads(self.value(values)),
            attn_mask=attention_mask,
        )
        result: Tensor = self.out_proj(taken.transpose(1, 2).flatten(2))
        return result, None

    def _heads(self, tensor: Tensor) -> Tensor:
        return torch.unflatten(tensor, -1, (self.num_heads, -1)).transpose(1, 2)
