"""The vision transformer under MAL, with timm's parameter names."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Positions = Literal["size", "scale"]
"""How a position table is stretched: to a size with antialiasing (TAO), or by a scale factor without (NVlabs)."""

EPSILON = 1e-6
MLP_RATIO = 4
SCALE_OFFSET = 0.1


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions, pre-norm blocks (arXiv 2010.11929); gives a map of features."""

    def __init__(
        self, *, width: int, depth: int, heads: int, patch: int, table: int, conv_stem: bool, positions: Positions
    ) -> None:
        """Build ``depth`` blocks of ``width`` channels whose position table has ``table`` x ``table`` places."""
        super().__init__()
        self.positions = positions
        self.stride = patch
        self.channels = width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + table * table, width))
        self.patch_embed = PatchEmbedding(width, patch=patch, conv_stem=conv_stem)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, 3, side, side) to features (B, width, side / patch, side / patch)."""
        patches = self.patch_embed(pixels)
        batch, channels, rows, columns = patches.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + stretch(self.pos_embed, (rows, columns), self.positions)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)[:, 1:]
        features: Tensor = tokens.transpose(1, 2).reshape(batch, channels, rows, columns)
        return features

    @torch.no_grad()
    def settle(self, side: int) -> None:
        """Replace the position table by the one for pixels of ``side`` x ``side``."""
        grid = side // self.stride
        self.pos_embed = nn.Parameter(stretch(self.pos_embed, (grid, grid), self.positions))


def stretch(table: Tensor, shape: tuple[int, int], positions: Positions) -> Tensor:
    """Return the positions (1, 1 + side**2, C) resized to a grid (rows, columns); the class token's stays as it is."""
    token, grid = table[:, :1], table[:, 1:]
    side = math.isqrt(grid.shape[1])
    if (side, side) == shape:
        return table
    grid = grid.transpose(1, 2).reshape(1, -1, side, side)
    if positions == "size":
        grid = functional.interpolate(grid.float(), size=shape, mode="bicubic", antialias=True)
    else:
        factors = [(length + SCALE_OFFSET) / side for length in shape]
        grid = functional.interpolate(grid.float(), scale_factor=factors, mode="bicubic")
    return torch.cat([token, grid.to(token.dtype).flatten(2).transpose(1, 2)], dim=1)


class PatchEmbedding(nn.Module):
    """One strided convolution, or NVlabs' stem of four."""

    def __init__(self, width: int, *, patch: int, conv_stem: bool) -> None:
        super().__init__()
        self.proj = stem(width) if conv_stem else nn.Conv2d(3, width, patch, patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, width, H / patch, W / patch)."""
        patches: Tensor = self.proj(pixels)
        return patches


def stem(width: int) -> nn.Sequential:
    """Return four halving 3x3 convolutions to ``width`` channels, the last followed by a 1x1 one: stride 16."""
    sequence = nn.Sequential()
    channels = 3
    for divisor in (8, 4, 2, 1):
        halve = nn.Conv2d(channels, width // divisor, 3, 2, 1, bias=False)
        channels = width // divisor
        sequence.append(nn.Sequential(halve, nn.GroupNorm(1, channels, eps=EPSILON), nn.GELU()))
    sequence[-1].append(nn.Conv2d(width, width, 1))  # type: ignore[operator]
    return sequence


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on normalised tokens and added back."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Perceptron(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, width) to tokens of the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class Attention(nn.Module):
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


class Perceptron(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, width) to tokens of the same shape."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result
