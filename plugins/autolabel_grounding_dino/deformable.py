"""Multi-scale deformable sampling without ``grid_sample``: compiled on a CPU, a weighted sum of rows elsewhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class BagSampling(nn.Module):
    """Stand-in for transformers' ``MultiScaleDeformableAttention`` in pure torch, for any device.

    Each query and head sums levels x points x 4 rows of the value table: the four neighbours of every sampled point,
    weighted by their closeness and the point's attention.
    """

    def forward(
        self,
        value: Tensor,
        value_spatial_shapes: Tensor,
        value_spatial_shapes_list: list[tuple[int, int]],
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        im2col_step: int,
    ) -> Tensor:
        """Return (batch, queries, heads * channels) for value (batch, tokens, heads, channels).

        ``sampling_locations`` is (batch, queries, heads, levels, points, 2) as x, y in 0..1, ``attention_weights`` the
        same without the last dimension; what lies outside a map counts as zero.
        """
        tables = value.flatten(1, 2)
        heads, channels = value.shape[2:]
        results = [
            _gather(tables[item], value_spatial_shapes, level_start_index, places, weights)
            for item, (places, weights) in enumerate(zip(sampling_locations, attention_weights, strict=True))
        ]
        return torch.stack(results).view(len(value), -1, heads * channels)


def _gather(table: Tensor, shapes: Tensor, starts: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Return (queries * heads, channels) for one item's table (tokens * heads, channels)."""
    queries, heads = weights.shape[:2]
    extent = shapes.flip(-1)[:, None]
    points = places * extent - 0.5
    corners = points.floor()
    parts = points - corners
    rows, factors = [], []
    for right in (0, 1):
        for down in (0, 1):
            cell = corners + torch.tensor([right, down], device=places.device)
            inside = ((cell >= 0) & (cell < extent)).all(-1)
            share = (parts[..., 0] if right else 1 - parts[..., 0]) * (parts[..., 1] if down else 1 - parts[..., 1])
            cell = torch.minimum(cell.clamp(min=0), extent - 1).long()
            rows.append(starts[:, None] + cell[..., 1] * shapes[:, 1, None] + cell[..., 0])
            factors.append(weights * share * inside)
    index = torch.stack(rows, -1) * heads + torch.arange(heads, device=places.device)[:, None, None, None]
    bags = index.reshape(queries * heads, -1)
    return functional.embedding_bag(
        bags, table, per_sample_weights=torch.stack(factors, -1).reshape_as(bags), mode="sum"
    )


class CompiledSampling(nn.Module):
    """The same on a CPU in float32, compiled by numba, with torch's number of threads; equal for any number of them."""

    def __init__(self) -> None:
        super().__init__()
        from autolabel_grounding_dino.compiled import sample

        self._sample: Any = sample
        self._pool: ThreadPoolExecutor | None = None

    def forward(
        self,
        value: Tensor,
        value_spatial_shapes: Tensor,
        value_spatial_shapes_list: list[tuple[int, int]],
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        im2col_step: int,
    ) -> Tensor:
        """Return (batch, queries, heads * channels), as ``BagSampling`` does."""
        batch, queries, heads = sampling_locations.shape[:3]
        result = value.new_zeros(batch, queries, heads, value.shape[3])
        tensors = (value, value_spatial_shapes, level_start_index, sampling_locations, attention_weights, result)
        arrays = [tensor.contiguous().numpy() for tensor in tensors]
        threads = min(torch.get_num_threads(), queries)
        if threads == 1:
            self._sample(*arrays, 0, queries)
            return result.flatten(2)
        self._pool = self._pool or ThreadPoolExecutor(threads, thread_name_prefix="sampling")
        edges = [queries * part // threads for part in range(threads + 1)]
        list(self._pool.map(lambda first, last: self._sample(*arrays, first, last), edges[:-1], edges[1:]))
        return result.flatten(2)


def fastest_sampling(device: str) -> nn.Module | None:
    """Return the quickest exact stand-in on a device, or None where transformers' own is to stay."""
    if device == "cpu" and find_spec("numba") is not None:
        return CompiledSampling()
    return None if device.startswith("mps") else BagSampling()
