"""The feed-forward layers after an attention, computed in blocks of rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = 1024
"""Rows at a time: the hidden activations, about 8 MB, then fit into a CPU's cache."""


class FeedForward(nn.Module):
    """Stand-in for ``fc1``, ReLU and ``fc2`` of transformers' layers: the same weights, the same result.

    On a CPU, the wide hidden activations are computed for ``ROWS`` rows at a time; on other devices, for all rows.
    """

    def __init__(self, widen: nn.Linear, narrow: nn.Linear) -> None:
        super().__init__()
        self.widen, self.narrow = widen, narrow

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (batch, S, width) for (batch, S, width)."""
        rows = hidden.flatten(0, -2)
        if len(rows) <= ROWS or rows.device.type != "cpu":
            return self._both(hidden)
        result = torch.cat([self._both(part) for part in torch.split(rows, ROWS)])
        return result.view(*hidden.shape[:-1], -1)

    def _both(self, rows: Tensor) -> Tensor:
        result: Tensor = self.narrow(functional.relu_(self.widen(rows)))
        return result
