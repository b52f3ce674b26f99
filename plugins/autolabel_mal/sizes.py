"""The sizes of a MAL network, by architecture name or from the tensors of a file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

Arch = Literal[
    "vit-deit-tiny/16",
    "vit-deit-small/16",
    "vit-mae-base/16",
    "vit-mae-large/16",
    "vit-mae-huge/14",
    "efficientnet-lite0",
]
ARCHS: tuple[Arch, ...] = get_args(Arch)
_LITE: Arch = "efficientnet-lite0"
TRANSFORMERS: dict[Arch, tuple[int, int, int]] = {
    "vit-deit-tiny/16": (192, 12, 16),
    "vit-deit-small/16": (384, 12, 16),
    "vit-mae-base/16": (768, 12, 16),
    "vit-mae-large/16": (1024, 24, 16),
    "vit-mae-huge/14": (1280, 32, 14),
}
"""Width, depth, and patch side of each."""

_HEAD_WIDTH = 64
_HUGE_WIDTH, _HUGE_HEADS = 1280, 16
_STEM_PATCH = 16
_TABLE = 14
_DEFAULT_CROP = 512
_LITE_CROP = 256

_Shapes = Mapping[str, Sequence[int]]
"""Parameter name to shape, as a state dict has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes needed to build a network for a file's tensors."""

    lite: bool = False
    """True for EfficientNet-lite0; the transformer's fields are then without meaning."""
    width: int = 192
    """Channels of the transformer's tokens, or of the pyramid on EfficientNet."""
    depth: int = 12
    patch: int = 16
    table: int = _TABLE
    """Side of the square table of learned positions."""
    conv_stem: bool = False
    nvlabs: bool = False
    """Whether positions are stretched NVlabs' way."""
    convs: int = 4
    hidden: int = 256
    out: int = 256
    crop: int = _DEFAULT_CROP
    """Side of the square crop that the network sees, in pixels."""
    scale_before: float = 1.0
    """Factor on the features before the pixel head, besides that of the object's size (``mask_scale_ratio_pre``)."""
    scale_within: float = 2.0
    """Factor inside the pixel head (``mask_scale_ratio``)."""
    adjust: bool = True
    """Whether small, medium, large objects are decoded at 0.5, 1, 2 times the resolution."""

    @property
    def heads(self) -> int:
        """Attention heads: 64 channels each, except for the huge model's 16."""
        return _HUGE_HEADS if self.width == _HUGE_WIDTH else max(1, self.width // _HEAD_WIDTH)

    @property
    def logits(self) -> int:
        """Side of the square map of logits: a quarter of the crop, half of it for the small network."""
        return self.crop // 2 if self.lite else self.crop // 4


def from_arch(arch: Arch) -> Sizes:
    """Return the sizes of a named architecture with TAO's default heads."""
    if arch == _LITE:
        return Sizes(lite=True, width=64, convs=4, hidden=64, out=32, crop=_LITE_CROP)
    width, depth, patch = TRANSFORMERS[arch]
    return Sizes(width=width, depth=depth, patch=patch)


def from_shapes(shapes: _Shapes, *, has_classifier: bool) -> Sizes:
    """Return the sizes that a network's tensors imply.

    ``has_classifier``: whether the file holds ``backbone.head.*``, which NVlabs' files lack; those also have a
    convolutional stem. Raises KeyError, naming a parameter, if the file is not a MAL network.
    """
    convs = _count(shapes, r"mask_head\.convs\.(\d+)\.conv\.weight")
    if not convs:
        raise KeyError("mask_head.convs.0.conv.weight")
    hidden, channels = shapes["mask_head.convs.0.conv.weight"][:2]
    heads = Sizes(width=channels, convs=convs, hidden=hidden, out=shapes["roi_head.mlp2.weight"][0])
    if "backbone.body.stem.convolution.weight" in shapes:
        return replace(heads, lite=True, crop=_LITE_CROP)
    stem = "backbone.patch_embed.proj.0.0.weight" in shapes
    return replace(
        heads,
        width=shapes["backbone.cls_token"][-1],
        depth=_count(shapes, r"backbone\.blocks\.(\d+)\.norm1\.weight"),
        patch=_STEM_PATCH if stem else shapes["backbone.patch_embed.proj.weight"][-1],
        table=math.isqrt(shapes["backbone.pos_embed"][1] - 1),
        conv_stem=stem,
        nvlabs=stem or not has_classifier,
    )


def name(sizes: Sizes) -> Arch | None:
    """Return the name of the architecture with these sizes; None if it has no name."""
    if sizes.lite:
        return _LITE
    key = (sizes.width, sizes.depth, sizes.patch)
    return next((arch for arch, value in TRANSFORMERS.items() if value == key), None)


def _count(shapes: _Shapes, pattern: str) -> int:
    found = [int(match[1]) for key in shapes if (match := re.fullmatch(pattern, key))]
    return max(found, default=-1) + 1
