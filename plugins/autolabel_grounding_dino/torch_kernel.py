"""The inner loop of multi-scale deformable attention in pure torch, for any device: a weighted sum of table rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def attend(value: Tensor, shapes: Tensor, starts: Tensor, references: Tensor, drawn: Tensor) -> Tensor:
    """Return (batch, queries, heads, channels) of ``value``'s type; see ``deformable.Kernel``.

    Each query and head sums levels x points x 4 rows of the value table: the four neighbours of every sampled point,
    weighted by their closeness and the point's attention; samples outside a map count as zero. The host never waits for
    the device.
    """
    heads, levels = value.shape[2], references.shape[2]
    samples = drawn.shape[-1] // (3 * heads)
    offsets, logits = torch.split(drawn, [2 * heads * samples, heads * samples], -1)
    each = (*drawn.shape[:2], heads, levels, samples // levels)
    weights = logits.reshape(*each[:3], samples).softmax(-1).view(each)
    places = _places(offsets.reshape(*each, 2), references[:, :, None, :, None], shapes)
    tables = value.float().flatten(1, 2)
    results = [_gather(*item, shapes, starts) for item in zip(tables, places, weights, strict=True)]
    return torch.stack(results).view(*each[:3], -1).to(value.dtype)


def _places(offsets: Tensor, references: Tensor, shapes: Tensor) -> Tensor:
    """Return points x, y in 0..1, rounded as transformers rounds them."""
    if references.shape[-1] == 2:
        return references + offsets / shapes.flip(-1)[:, None]
    return references[..., :2] + offsets / offsets.shape[-2] * references[..., 2:] * 0.5


def _gather(table: Tensor, places: Tensor, weights: Tensor, shapes: Tensor, starts: Tensor) -> Tensor:
    """Return (queries * heads, channels) for one item's table (tokens * heads, channels)."""
    queries, heads = weights.shape[:2]
    height, width = shapes[:, :1], shapes[:, 1:]
    points = places * shapes.flip(-1)[:, None] - 0.5
    corners = points.floor()
    parts = points - corners
    rows, factors = [], []
    for right in (0, 1):
        for down in (0, 1):
            x, y = corners[..., 0] + right, corners[..., 1] + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            share = (parts[..., 0] if right else 1 - parts[..., 0]) * (parts[..., 1] if down else 1 - parts[..., 1])
            x, y = torch.minimum(x.clamp(min=0), width - 1), torch.minimum(y.clamp(min=0), height - 1)
            rows.append(starts[:, None] + y.long() * width + x.long())
            factors.append(weights * share * inside)
    index = torch.stack(rows, -1) * heads + torch.arange(heads, device=places.device)[:, None, None, None]
    bags = index.reshape(queries * heads, -1)
    return functional.embedding_bag(
        bags, table, per_sample_weights=torch.stack(factors, -1).reshape_as(bags), mode="sum"
    )
