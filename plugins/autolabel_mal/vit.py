"""MAL's vision transformer, with timm's parameter names."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from autolabel_labeling.half import HalfPerceptron, halve

_Positions = Literal["size", "scale"]
"""How a position table is resized: to a size with antialiasing (TAO), or by a factor without (NVlabs)."""

_EPSILON = 1e-6
_MLP_RATIO = 4
_SCALE_OFFSET = 0.1


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions, pre-norm blocks (arXiv 2010.11929); gives a map of features."""

    def __init__(
        self, *, width: int, depth: int, heads: int, patch: int, table: int, conv_stem: bool, positions: _Positions
    ) -> None:
        """Build ``depth`` blocks of ``width`` channels whose position table has ``table`` x ``table`` places."""
        super().__init__()
        self.positions = positions
        self.stride = patch
        self.channels = width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + table * table, width))
        self.patch_embed = _PatchEmbedding(width, patch=patch, conv_stem=conv_stem)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, 3, side, side) to features (B, width, side / patch, side / patch)."""
        patches = self.patch_embed(pixels)
        batch, channels, rows, columns = patches.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + resize_positions(self.pos_embed, (rows, columns), self.positions)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)[:, 1:]
        features: Tensor = tokens.transpose(1, 2).reshape(batch, channels, rows, columns)
        return features

    @torch.no_grad()
    def settle(self, side: int) -> None:
        """Replace the position table by the one for pixels of ``side`` x ``side``."""
        grid = side // self.stride
        self.pos_embed = nn.Parameter(resize_positions(self.pos_embed, (grid, grid), self.positions))

    def halve(self) -> None:
        """Have the linear layers multiply in bfloat16."""
        for block in self.blocks:
            block.mlp = HalfPerceptron(block.mlp.fc1, block.mlp.fc2, "gelu")  # type: ignore[arg-type, union-attr]
        halve(self)


def resize_positions(table: Tensor, shape: tuple[int, int], positions: _Positions) -> Tensor:
    """Return the positions (1, 1 + side**2, C) resized to a grid (rows, columns); the class token's stays as it is."""
    token, grid = table[:, :1], table[:, 1:]
    side = math.isqrt(grid.shape[1])
    if (side, side) == shape:
        return table
    grid = grid.transpose(1, 2).reshape(1, -1, side, side)
    if positions == "size":
        grid = functional.interpolate(grid.float(), size=shape, mode="bicubic", antialias=True)
    else:
        factors = [(length + _SCALE_OFFSET) / side for length in shape]
        grid = functional.interpolate(grid.float(), scale_factor=factors, mode="bicubic")
    return torch.cat([token, grid.to(token.dtype).flatten(2).transpose(1, 2)], dim=1)


class _PatchEmbedding(nn.Module):
    """One strided convolution, or NVlabs' stem of four."""

    def __init__(self, width: int, *, patch: int, conv_stem: bool) -> None:
        super().__init__()
        self.proj = _stem(width) if conv_stem else nn.Conv2d(3, width, patch, patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, width, H / patch, W / patch)."""
        patches: Tensor = self.proj(pixels)
        return patches


def _stem(width: int) -> nn.Sequential:
    """Return four 3x3 convolutions of stride 2 to ``width`` channels and a final 1x1 convolution; total stride 16."""
    sequence = nn.Sequential()
    channels = 3
    for divisor in (8, 4, 2, 1):
        halve = nn.Conv2d(channels, width // divisor, 3, 2, 1, bias=False)
        channels = width // divisor
        sequence.append(nn.Sequential(halve, nn.GroupNorm(1, channels, eps=_EPSILON), nn.GELU()))
    sequence[-1].append(nn.Conv2d(width, width, 1))  # type: ignore[operator]
    return sequence


class _Block(nn.Module):
    """Pre-norm attention and a two-layer perceptron, each with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = _Perceptron(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, width) to tokens of the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class _Attention(nn.Module):
    """Multi-head self-attention with one matrix for queries, keys, values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, width) to tokens of the same shape."""
        batch, count, width = tokens.shape
        split = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return result


class _Perceptron(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, width) to tokens of the same shape."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result
