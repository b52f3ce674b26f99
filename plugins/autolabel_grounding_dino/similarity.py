"""The similarity of a query and a token: the logit, with TAO's optional scale and bias."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Similarity:
    """logit = query . token * scale + bias."""

    scale: float = 1.0
    bias: float = 0.0

    def __call__(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Return logits (batch, queries, tokens) for (batch, queries, width) and (batch, tokens, width)."""
        logits = queries @ tokens.transpose(-1, -2)
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits + self.bias if self.bias else logits

    def rescale(self, head: Any, given: Any, logits: Tensor) -> Tensor:
        """Return the logits of a head of transformers' model with scale and bias: a forward hook of that head."""
        return logits * self.scale + self.bias


def read_similarity(state: Mapping[str, Tensor], head: str, *, log_scale: float | str | None, width: int) -> Similarity:
    """Return the similarity of one head (``class_embed.5``, ``transformer.enc_out_class_embed``) of an original file.

    A learned scale in the file (stored as its logarithm) takes precedence over ``log_scale``. For a file without one,
    only ``log_scale: auto`` (1 / sqrt(width)) has an effect.
    """
    scale, bias = state.get(f"{head}.log_scale"), state.get(f"{head}.bias")
    fixed = 1 / math.sqrt(width) if log_scale == "auto" else 1.0
    return Similarity(
        scale=math.exp(float(scale)) if scale is not None else fixed,
        bias=float(bias) if bias is not None else 0.0,
    )
