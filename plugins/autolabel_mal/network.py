"""The network of Mask Auto-Labeler: crop in, logits of the object's mask out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autolabel.transfer import to_device
from autolabel_mal.heads import ObjectHead, PixelHead, resize_maps, scale_map
from autolabel_mal.sizes import Sizes
from autolabel_mal.vit import VisionTransformer

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)
_LITE_MEAN, _LITE_STD = (127.0,) * 3, (128.0,) * 3
_FACTORS = (0.5, 1.0, 2.0)
"""The scale factors for features of small, medium and large objects (the paper's scale-dependent decoding)."""


class MalNetwork(nn.Module):
    """A backbone, an object vector K, a map of pixel vectors V; a pixel's logit is <K, V> (arXiv 2301.03992)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.backbone = _build_backbone(sizes)
        self.roi_head = ObjectHead(sizes.width, sizes.out)
        self.mask_head = PixelHead(
            sizes.width, hidden=sizes.hidden, out=sizes.out, convs=sizes.convs, upsample=sizes.scale_within
        )
        mean, std = (_LITE_MEAN, _LITE_STD) if sizes.lite else (_IMAGENET_MEAN, _IMAGENET_STD)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor, groups: Tensor) -> Tensor:
        """Map normalised crops (B, 3, crop, crop) to logits (B, side, side), side = ``sizes.logits``.

        ``groups`` (B,), on the CPU, holds 0, 1, 2 for small, medium, large objects: see ``crop.size_group``.
        """
        features: Tensor = self.backbone(pixels)
        vectors = self.roi_head(features)
        logits = features.new_empty((len(features), self.sizes.logits, self.sizes.logits), dtype=torch.float32)
        for group, factor in enumerate(_FACTORS):
            chosen = to_device(torch.nonzero(groups == group).flatten(), logits.device)
            if len(chosen):
                logits[chosen] = self.decode(features[chosen], vectors[chosen], factor if self.sizes.adjust else 1.0)
        return logits

    def decode(self, features: Tensor, vectors: Tensor, factor: float) -> Tensor:
        """Return logits (B, side, side) of objects that share one decoding resolution."""
        pixels: Tensor = self.mask_head(scale_map(features, factor * self.sizes.scale_before))
        logits = torch.einsum("bc,bchw->bhw", vectors, pixels).float()
        return resize_maps(logits, (self.sizes.logits, self.sizes.logits))

    def settle(self) -> None:
        """Resize the learned positions to the crop once, instead of in every pass; this cannot be undone."""
        if isinstance(self.backbone, VisionTransformer):
            self.backbone.settle(self.sizes.crop)

    def halve(self) -> None:
        """Have the transformer's linear layers multiply in bfloat16; convolutions gain too little by it."""
        if isinstance(self.backbone, VisionTransformer):
            self.backbone.halve()

    def normalise(self, crops: Tensor) -> Tensor:
        """Map crops (B, side, side, 3) of 0..255 to what ``forward`` takes, on the network's device."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        planes = crops.to(mean.device).permute(0, 3, 1, 2).contiguous()
        return planes.float().sub_(mean).div_(std)


def _build_backbone(sizes: Sizes) -> nn.Module:
    """Return a backbone that maps pixels to features of ``sizes.width`` channels."""
    if sizes.lite:
        from autolabel_mal.lite import LiteBackbone

        return LiteBackbone(sizes.width)
    return VisionTransformer(
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        patch=sizes.patch,
        table=sizes.table,
        conv_stem=sizes.conv_stem,
        positions="scale" if sizes.nvlabs else "size",
    )
