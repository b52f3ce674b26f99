"""EfficientNet-lite0 with a small feature pyramid, for machines where a transformer is too slow."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from autolabel_labeling.efficientnet import STAGE_CHANNELS, EfficientNetLite0

_STAGES = 6
"""The number of stages used, of seven: the last one only serves a classifier, with a fifth of all parameters."""
_LEVELS = (2, 3, 5, 6)
"""Outputs at strides 4, 8, 16, 32, counted with the stem as 0."""
_FUSED = 1
"""The level that all are brought to: stride 8."""


class LiteBackbone(nn.Module):
    """Maps pixels to features at stride 8 that combine strides 4 to 32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stride = 8
        self.channels = width
        self.body = EfficientNetLite0()
        del self.body.stages[_STAGES:]
        self.lateral = nn.ModuleList(nn.Conv2d(STAGE_CHANNELS[level], width, 1) for level in _LEVELS)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, 3, side, side) in (x - 127) / 128 to features (B, width, side / 8, side / 8)."""
        outputs = self.body(pixels)
        maps = [lateral(outputs[level]) for lateral, level in zip(self.lateral, _LEVELS, strict=True)]
        size = maps[_FUSED].shape[-2:]
        fused: Tensor = maps[_FUSED] + functional.adaptive_avg_pool2d(maps[0], size)
        for coarse in maps[_FUSED + 1 :]:
            fused = fused + functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        for smooth in self.smooth:
            fused = fused + functional.relu(smooth(fused))
        return fused
