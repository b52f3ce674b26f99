"""The vision features of images, computed once for each image and used for every caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autolabel.transfer import to_device
from autolabel_labeling.tensors import PixelBatch

_Shapes = tuple[tuple[int, int], ...]
_SHAPES = 4
"""Shapes of images whose position codes are kept: 8 MB each for 480x800."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFeatures:
    """Feature maps of B images of one padded size, flattened to S places over all levels."""

    tokens: Tensor
    """(B, S, width)."""
    positions: Tensor
    """(B, S, width): the position code, with the level's."""
    valid: Tensor
    """(B, S) bool: False at padding."""
    ratios: Tensor
    """(B, levels, 2): the part of width and height that is not padding."""
    shapes: _Shapes
    """(height, width) of each level."""
    extents: Tensor
    """(levels, 2) int64: ``shapes`` on the device."""
    starts: Tensor
    """(levels,) int64: the first place of each level."""

    def item(self, index: int) -> ImageFeatures:
        """Return one image's features: views, B = 1."""
        part = slice(index, index + 1)
        return ImageFeatures(
            tokens=self.tokens[part],
            positions=self.positions[part],
            valid=self.valid[part],
            ratios=self.ratios[part],
            shapes=self.shapes,
            extents=self.extents,
            starts=self.starts,
        )

    @classmethod
    def join(cls, parts: Sequence[ImageFeatures]) -> ImageFeatures:
        """Return the features of several images of equal shapes as one batch."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tokens=torch.cat([part.tokens for part in parts]),
            positions=torch.cat([part.positions for part in parts]),
            valid=torch.cat([part.valid for part in parts]),
            ratios=torch.cat([part.ratios for part in parts]),
            shapes=parts[0].shapes,
            extents=parts[0].extents,
            starts=parts[0].starts,
        )


class VisionEncoder:
    """The vision tower with the projections to the common width."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._codes: dict[_Shapes, Tensor] = {}
        self.passes = 0

    def encode(self, batch: PixelBatch) -> ImageFeatures:
        """Return the features of a batch of images."""
        levels = self._levels(batch.pixels, batch.valid)
        self.passes += len(batch.pixels)
        shapes = tuple((level.shape[-2], level.shape[-1]) for level, _ in levels)
        places = [height * width for height, width in shapes]
        starts = torch.tensor([sum(places[:level]) for level in range(len(places))])
        return ImageFeatures(
            tokens=torch.cat([_flat(level) for level, _ in levels], 1),
            positions=self._positions(levels, shapes, whole=batch.whole),
            valid=torch.cat([mask.flatten(1) for _, mask in levels], 1),
            ratios=torch.stack([_ratio(mask) for _, mask in levels], 1),
            shapes=shapes,
            extents=to_device(torch.tensor(shapes), batch.pixels.device),
            starts=to_device(starts, batch.pixels.device),
        )

    def _levels(self, pixels: Tensor, valid: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return (map, mask) of every level: the tower's, then each a stride-2 convolution of the one before."""
        outputs = self._model.backbone.conv_encoder(pixels, valid.long())
        projections = list(self._model.input_proj_vision)
        levels = [(project(source), mask) for project, (source, mask) in zip(projections, outputs, strict=False)]
        source = outputs[-1][0]
        for project in projections[len(outputs) :]:
            source = project(source)
            levels.append((source, _shrunk(valid, source)))
        return levels

    def _positions(self, levels: list[tuple[Tensor, Tensor]], shapes: _Shapes, *, whole: bool) -> Tensor:
        """Return (B, S, width); for images without padding, which all have the same of a shape, computed once."""
        if not whole:
            return self._coded(levels)
        code = self._codes.get(shapes)
        if code is None:
            code = self._coded([(level, mask[:1]) for level, mask in levels])
            while len(self._codes) >= _SHAPES:
                self._codes.pop(next(iter(self._codes)), None)
            self._codes[shapes] = code
        return code.expand(len(levels[0][0]), -1, -1)

    def _coded(self, levels: list[tuple[Tensor, Tensor]]) -> Tensor:
        embed = self._model.backbone.position_embedding
        codes = [_flat(embed(level, mask).to(level.dtype)) for level, mask in levels]
        return torch.cat([code + self._model.level_embed[number] for number, code in enumerate(codes)], 1)


def _flat(level: Tensor) -> Tensor:
    return level.flatten(2).transpose(1, 2)


def _shrunk(valid: Tensor, level: Tensor) -> Tensor:
    return functional.interpolate(valid[None].float(), size=level.shape[-2:])[0].bool()


def _ratio(mask: Tensor) -> Tensor:
    """Return (B, 2): the valid part of the width and of the height of masks (B, height, width)."""
    return torch.stack([mask[:, 0].float().mean(1), mask[:, :, 0].float().mean(1)], -1)
