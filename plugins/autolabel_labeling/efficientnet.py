"""EfficientNet-lite0 with folded batch norm, registered as a transformers backbone on import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoBackbone, AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
from transformers.modeling_outputs import BackboneOutput

_MODEL_TYPE = "efficientnet_lite0"
_STEM_CHANNELS = 32
_BATCH_NORM_EPSILON = 1e-3
# Per stage: expansion, kernel, stride of the first block, output channels, blocks.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STAGE_NAMES = ("stem", *(f"stage{number}" for number in range(1, len(_STAGES) + 1)))
STAGE_CHANNELS = (_STEM_CHANNELS, *(stage[3] for stage in _STAGES))


class EfficientNetLite0Config(BackboneConfigMixin, PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Configure which stages of EfficientNet-lite0 are returned, by name or by index."""

    model_type = _MODEL_TYPE

    def __init__(
        self,
        out_features: list[str] | None = None,
        out_indices: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage_names = list(_STAGE_NAMES)
        self.set_output_features_output_indices(out_features=out_features, out_indices=out_indices)


class _FoldedConvolution(nn.Module):
    """A convolution with folded batch norm, TensorFlow "same" padding at stride 2, and optional ReLU6."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        symmetric = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=symmetric, groups=groups)
        total = kernel - 2 if stride == 2 else 0
        self.extra_padding = (total // 2, total - total // 2) * 2
        self.activate = activate

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, in, height, width) to (batch, out, height / stride, width / stride); even sizes expected."""
        if any(self.extra_padding):
            image = functional.pad(image, self.extra_padding)
        result: Tensor = self.convolution(image)
        return functional.relu6(result, inplace=True) if self.activate else result


class _InvertedResidual(nn.Module):
    """Expand, filter each channel alone, project; a shortcut where shapes allow (MobileNetV2's block)."""

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = _FoldedConvolution(in_channels, inner, kernel=1) if expansion > 1 else None
        self.depthwise = _FoldedConvolution(inner, inner, kernel=kernel, stride=stride, groups=inner)
        self.project = _FoldedConvolution(inner, out_channels, kernel=1, activate=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, in, height, width) to (batch, out, height / stride, width / stride)."""
        inner = image if self.expand is None else self.expand(image)
        result: Tensor = self.project(self.depthwise(inner))
        return result.add_(image) if self.shortcut else result


class EfficientNetLite0(nn.Module):
    """The convolutional part of EfficientNet-lite0: a stem and seven stages, no classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _FoldedConvolution(3, _STEM_CHANNELS, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        channels = _STEM_CHANNELS
        for expansion, kernel, stride, out_channels, blocks in _STAGES:
            stage = nn.Sequential()
            for block in range(blocks):
                first_stride = stride if block == 0 else 1
                stage.append(
                    _InvertedResidual(channels, out_channels, expansion=expansion, kernel=kernel, stride=first_stride)
                )
                channels = out_channels
            self.stages.append(stage)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return the output of the stem and of every stage for pixels (batch, 3, height, width) in (x - 127) / 128."""
        features = [self.stem(pixels)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class EfficientNetLite0Backbone(BackboneMixin, PreTrainedModel):  # type: ignore[no-untyped-call]
    """EfficientNet-lite0 as transformers' detectors expect a backbone."""

    config_class = EfficientNetLite0Config
    base_model_prefix = "features"
    main_input_name = "pixel_values"
    has_attentions = False

    def __init__(self, config: EfficientNetLite0Config) -> None:
        super().__init__(config)
        self.num_features = list(STAGE_CHANNELS)
        self.features = EfficientNetLite0()
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Keep torch's initialisation; weights always come from a file."""

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BackboneOutput:
        """Return the stages named in the configuration for pixels (batch, 3, height, width); other flags do nothing."""
        features = self.features(pixel_values)
        chosen = tuple(features[_STAGE_NAMES.index(name)] for name in self.out_features)
        return BackboneOutput(feature_maps=chosen)


def load_imagenet_weights(network: EfficientNetLite0, path: Path) -> None:
    """Fill `network` from the published `efficientnet-lite0-57934424.pth`, folding batch norm into the convolutions."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    _fold(network.stem, state, "_conv_stem", "_bn0")
    blocks = [module for module in network.modules() if isinstance(module, _InvertedResidual)]
    for number, block in enumerate(blocks):
        prefix = f"_blocks.{number}."
        if block.expand is not None:
            _fold(block.expand, state, prefix + "_expand_conv", prefix + "_bn0")
        _fold(block.depthwise, state, prefix + "_depthwise_conv", prefix + "_bn1")
        _fold(block.project, state, prefix + "_project_conv", prefix + "_bn2")


@torch.no_grad()
def _fold(target: _FoldedConvolution, state: Mapping[str, Tensor], convolution: str, norm: str) -> None:
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
    target.convolution.weight.copy_(state[f"{convolution}.weight"] * scale[:, None, None, None])
    assert target.convolution.bias is not None
    target.convolution.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)


AutoConfig.register(_MODEL_TYPE, EfficientNetLite0Config)
AutoBackbone.register(EfficientNetLite0Config, EfficientNetLite0Backbone)
