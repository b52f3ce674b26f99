"""MAL's two heads: one vector for the object, one map of vectors for the pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_UPSAMPLE_BEFORE = 3


class ObjectHead(nn.Module):
    """The K head of the paper: mean feature of the crop to one vector (RoI head)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mlp1 = nn.Linear(channels, out)
        self.mlp2 = nn.Linear(out, out)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, channels, h, w) to vectors (B, out)."""
        mean = features.mean(dim=(2, 3))
        vector: Tensor = self.mlp2(functional.relu(self.mlp1(mean)))
        return vector


class PixelHead(nn.Module):
    """The V head of the paper: 3x3 convolutions, upsampled before the fourth (mask head)."""

    def __init__(self, channels: int, *, hidden: int, out: int, convs: int, upsample: float) -> None:
        super().__init__()
        widths = [channels, *[hidden] * (convs - 1), out]
        self.convs = nn.ModuleList(_Convolution(widths[i], widths[i + 1]) for i in range(convs))
        self.upsample = upsample

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, channels, h, w) to vectors (B, out, h * upsample, w * upsample)."""
        for index, conv in enumerate(self.convs):
            if index == _UPSAMPLE_BEFORE:
                features = scale_map(features, self.upsample)
            features = conv(features)
        return features


class _Convolution(nn.Module):
    """A 3x3 convolution with ReLU; the submodule is named as in the published files."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, out, h, w)."""
        return functional.relu(self.conv(features))


def scale_map(features: Tensor, factor: float) -> Tensor:
    """Scale a map (B, C, h, w) bilinearly by ``factor``; 1 leaves it alone."""
    if factor == 1:
        return features
    return functional.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (B, h, w) bilinearly to ``size``."""
    return functional.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
