"""The inner loop of multi-scale deformable attention for NVIDIA and AMD GPUs, compiled by Triton: forward only."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 32
"""Queries that one program takes, each with all channels of one head."""


def _attend(  # type: ignore[no-untyped-def]  # Triton reads annotations as its own
    value,
    shapes,
    starts,
    references,
    drawn,
    result,
    tokens,
    queries,
    HEADS: tl.constexpr,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    COORDINATES: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Fill ``result`` (batch, queries, heads, channels) for BLOCK queries of one head of one item.

    Arguments are as in ``compiled``; WIDE is the power of two that CHANNELS fit into. Sums are float32.
    """
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    item = tl.program_id(1) // HEADS
    head = tl.program_id(1) % HEADS
    live = query < queries
    channel = tl.arange(0, WIDE)
    whole = channel < CHANNELS
    at = item.to(tl.int64) * queries + query
    samples = LEVELS * POINTS
    row = drawn + at * (3 * HEADS * samples)
    logits = row + 2 * HEADS * samples + head * samples
    most = tl.load(logits, mask=live, other=0.0)
    for sample in range(1, samples):
        most = tl.maximum(most, tl.load(logits + sample, mask=live, other=0.0))
    total = tl.zeros([BLOCK], tl.float32)
    summed = tl.zeros([BLOCK, WIDE], tl.float32)
    for level in range(LEVELS):
        height = tl.load(shapes + 2 * level).to(tl.int32)
        width = tl.load(shapes + 2 * level + 1).to(tl.int32)
        first = item.to(tl.int64) * tokens + tl.load(starts + level)
        reference = references + (at * LEVELS + level) * COORDINATES
        centre_x = tl.load(reference, mask=live, other=0.0) * width - 0.5
        centre_y = tl.load(reference + 1, mask=live, other=0.0) * height - 0.5
        for point in range(POINTS):
            sample = level * POINTS + point
            x = tl.load(row + 2 * (head * samples + sample), mask=live, other=0.0)
            y = tl.load(row + 2 * (head * samples + sample) + 1, mask=live, other=0.0)
            if COORDINATES == 4:
                x *= tl.load(reference + 2, mask=live, other=0.0) * width / (2 * POINTS)
                y *= tl.load(reference + 3, mask=live, other=0.0) * height / (2 * POINTS)
            x += centre_x
            y += centre_y
            near = (x > -1) & (y > -1) & (x < width) & (y < height)
            x = tl.where(near, x, -1.0)
            y = tl.where(near, y, -1.0)
            left, top = tl.floor(x), tl.floor(y)
            weight = tl.exp(tl.load(logits + sample, mask=live, other=0.0) - most)
            total += weight
            for corner in tl.static_range(4):
                cell_x = left.to(tl.int32) + corner % 2
                cell_y = top.to(tl.int32) + corner // 2
                part_x = 1 - tl.abs(x - cell_x)
                part_y = 1 - tl.abs(y - cell_y)
                inside = live & near & (cell_x >= 0) & (cell_y >= 0) & (cell_x < width) & (cell_y < height)
                cell = ((first + cell_y * width + cell_x) * HEADS + head) * CHANNELS
                seen = inside[:, None] & whole[None, :]
                source = tl.load(value + cell[:, None] + channel[None, :], mask=seen, other=0.0)
                summed += (weight * part_x * part_y)[:, None] * source.to(tl.float32)
    target = result + (at * HEADS + head)[:, None] * CHANNELS + channel[None, :]
    tl.store(target, summed / total[:, None], mask=live[:, None] & whole[None, :])


_kernel: Any = triton.jit(_attend)


def attend(value: Tensor, shapes: Tensor, starts: Tensor, references: Tensor, drawn: Tensor) -> Tensor:
    """Return (batch, queries, heads, channels) of ``value``'s type; see ``deformable.Kernel``."""
    batch, tokens, heads, channels = value.shape
    queries, levels, coordinates = references.shape[1:]
    result = torch.empty(batch, queries, heads, channels, dtype=value.dtype, device=value.device)
    _kernel[(triton.cdiv(queries, _BLOCK), batch * heads)](
        *(tensor.contiguous() for tensor in (value, shapes, starts, references, drawn)),
        result,
        tokens,
        queries,
        HEADS=heads,
        LEVELS=levels,
        POINTS=drawn.shape[-1] // (3 * heads * levels),
        COORDINATES=coordinates,
        CHANNELS=channels,
        WIDE=triton.next_power_of_2(channels),
        BLOCK=_BLOCK,
    )
    return result
