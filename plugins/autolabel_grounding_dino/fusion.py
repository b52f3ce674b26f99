"""Attention between image and text, with products re-associated so that their cost follows the text's length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ReassociatedFusion(nn.Module):
    """Stand-in for transformers' ``GroundingDinoBiMultiHeadAttention`` with the same weights and the same result.

    ``(V Wq) K^T`` becomes ``V (Wq K^T)``, and ``(P (T Wv)) Wo`` becomes ``P ((T Wv) Wo)``: with N tokens and H heads an
    image position meets H N columns instead of the wide inner dimension. Inference only: no dropout.
    """

    vision_proj: nn.Linear
    text_proj: nn.Linear
    values_vision_proj: nn.Linear
    values_text_proj: nn.Linear
    out_vision_proj: nn.Linear
    out_text_proj: nn.Linear

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.scale = stock.num_heads, stock.head_dim, stock.scale
        self._kind = torch.float32
        for name in (
            "vision_proj",
            "text_proj",
            "values_vision_proj",
            "values_text_proj",
            "out_vision_proj",
            "out_text_proj",
        ):
            self.add_module(name, getattr(stock, name))

    def halve(self) -> None:
        """Round the products with the places of an image to bfloat16; softmax and all else stays in float32."""
        self._kind = torch.bfloat16

    def forward(
        self,
        vision_features: Tensor,
        text_features: Tensor,
        vision_attention_mask: Tensor | None = None,
        text_attention_mask: Tensor | None = None,
    ) -> tuple[tuple[Tensor, None], tuple[Tensor, None]]:
        """Return vision (batch, S, width) attended to text (batch, N, width), and text attended to vision.

        The masks, (batch, S) and (batch, N), are True at padding. Attention weights are not returned.
        """
        seen = self._rounded(vision_features)
        logits = self._logits(seen, text_features)
        to_text, to_vision = logits, logits
        if text_attention_mask is not None:
            to_text = _hidden(logits, text_attention_mask[:, None, None])
        if vision_attention_mask is not None:
            to_vision = _hidden(logits, vision_attention_mask[:, :, None, None])
        vision = self._vision_takes(to_text.softmax(-1), text_features)
        return (vision, None), (self._text_takes(to_vision.softmax(1), seen), None)

    def _logits(self, vision: Tensor, text: Tensor) -> Tensor:
        """Return (batch, S, heads, N) in float32."""
        keys = self._heads(self.text_proj(text))
        weight = self.vision_proj.weight.view(self.num_heads, self.head_dim, -1)
        bias = self.vision_proj.bias.view(self.num_heads, self.head_dim)
        columns = torch.einsum("bnhe,hed->bhnd", keys, weight).flatten(1, 2)
        offsets = torch.einsum("bnhe,he->bhn", keys, bias).flatten(1)
        if self._kind != torch.float32:
            offsets, columns = self._rounded(offsets * self.scale), self._rounded(columns * self.scale)
            logits = torch.baddbmm(offsets[:, None], vision, columns.transpose(1, 2)).float()
        else:
            logits = torch.baddbmm(offsets[:, None], vision, columns.transpose(1, 2), beta=self.scale, alpha=self.scale)
        return logits.view(*logits.shape[:2], self.num_heads, -1)

    def _vision_takes(self, shares: Tensor, text: Tensor) -> Tensor:
        values = self._heads(self.values_text_proj(text))
        weight = self.out_vision_proj.weight.view(-1, self.num_heads, self.head_dim)
        rows = torch.einsum("bnhe,dhe->bhnd", values, weight).flatten(1, 2)
        if self._kind != torch.float32:
            taken = torch.bmm(self._rounded(shares).flatten(2), self._rounded(rows)).float()
            return taken.add_(self.out_vision_proj.bias)
        return torch.baddbmm(self.out_vision_proj.bias, shares.flatten(2), rows)

    def _text_takes(self, shares: Tensor, vision: Tensor) -> Tensor:
        pooled = torch.bmm(self._rounded(shares).flatten(2).transpose(1, 2), vision)
        pooled = pooled.to(self.values_vision_proj.weight.dtype)
        pooled = pooled.view(len(pooled), self.num_heads, -1, pooled.shape[-1])
        weight = self.values_vision_proj.weight.view(self.num_heads, self.head_dim, -1)
        bias = self.values_vision_proj.bias.view(self.num_heads, self.head_dim)
        values = torch.einsum("bhnd,hed->bnhe", pooled, weight) + bias
        result: Tensor = self.out_text_proj(values.flatten(2))
        return result

    def _rounded(self, tensor: Tensor) -> Tensor:
        return tensor if self._kind == torch.float32 else tensor.to(self._kind)

    def _heads(self, tensor: Tensor) -> Tensor:
        return tensor.view(*tensor.shape[:-1], self.num_heads, self.head_dim)


def _hidden(logits: Tensor, padding: Tensor) -> Tensor:
    """Return logits with -inf at padding; on a CPU, where to look costs no wait, the same ones if there is none."""
    if padding.device.type == "cpu" and not bool(padding.any()):
        return logits
    return logits.masked_fill(padding, -torch.inf)
