"""The small Grounding DINO: transformers' own classes, and a training view of them over cached features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

from autolabel_labeling.efficientnet import EfficientNetLite0Config
from autolabel_training.layers import predictions_of
from autolabel_training.loss import Predictions

from .config import ModelRecipe
from .features import FROZEN_STAGES, STAGES, image_network, trained_part
from .text import Caption, text_config, text_weights

LONGEST_CAPTION = 256


def build_config(recipe: ModelRecipe) -> GroundingDinoConfig:
    """Return transformers' configuration of the detector."""
    return GroundingDinoConfig(
        backbone_config=EfficientNetLite0Config(out_features=[f"stage{stage}" for stage in STAGES]),
        text_config=text_config(recipe.vocabulary),
        num_queries=recipe.queries,
        d_model=recipe.width,
        encoder_layers=recipe.encoder_layers,
        encoder_ffn_dim=recipe.encoder_feedforward,
        encoder_attention_heads=recipe.heads,
        encoder_n_points=recipe.encoder_points,
        decoder_layers=recipe.decoder_layers,
        decoder_ffn_dim=recipe.decoder_feedforward,
        decoder_attention_heads=recipe.heads,
        decoder_n_points=recipe.decoder_points,
        num_feature_levels=len(STAGES),
        max_text_len=LONGEST_CAPTION,
        dropout=0.0,
        fusion_droppath=0.0,
        fusion_dropout=0.0,
        text_enhancer_dropout=0.0,
        auxiliary_loss=True,
        disable_custom_kernels=True,
    )


def build_model(recipe: ModelRecipe) -> GroundingDinoForObjectDetection:
    """Return the detector with pretrained towers and a fresh rest, drawn from torch's generator."""
    model = GroundingDinoForObjectDetection(build_config(recipe)).eval()
    missing, unexpected = model.model.text_backbone.load_state_dict(text_weights(recipe.vocabulary), strict=False)
    if unexpected or any("position_ids" not in key for key in missing):
        raise ValueError(f"text weights do not fit: missing {missing}, unexpected {unexpected}")
    image_tower = model.model.backbone.conv_encoder.model
    image_tower.features.load_state_dict(image_network(None).state_dict())
    _set_initial_scale(model, recipe)
    freeze(model)
    return model


def load_model(folder: Path) -> GroundingDinoForObjectDetection:
    """Return the detector of a checkpoint directory in float32, to go on training it."""
    model = GroundingDinoForObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()
    freeze(model)
    return model


def freeze(model: GroundingDinoForObjectDetection) -> None:
    """Let everything learn but the text tower and the first stages of the image tower."""
    network = model.model.backbone.conv_encoder.model.features
    network.requires_grad_(False)
    network.stages[FROZEN_STAGES:].requires_grad_(True)
    model.model.text_backbone.requires_grad_(False)


@torch.no_grad()
def _set_initial_scale(model: GroundingDinoForObjectDetection, recipe: ModelRecipe) -> None:
    """Make the first logits small around a prior: the model has neither a scale nor a bias for them.

    A logit is the product of a normed visual state and a text state. Small text states make it small, and since
    normed states have zero mean, two constant biases multiply to a constant logit. The visual norm keeps weight 1:
    the decoder moves its boxes with states before that norm, through the head that reads states after it.
    """
    text_norm = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
    text_norm.weight.fill_(recipe.text_scale)
    text_norm.bias.fill_(recipe.text_bias)
    for visual_norm in (model.model.decoder.layer_norm, model.model.enc_output_norm):
        visual_norm.bias.fill_(recipe.prior_bias)
    for layer in model.model.decoder.layers:
        layer.encoder_attn_text.key.weight.div_(recipe.text_scale)
        layer.encoder_attn_text.value.weight.div_(recipe.text_scale)


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return every parameter that is trained, once, under its first name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class CachedDetector:
    """The detector with what is frozen replaced by cached features; shares the weights of `model`."""

    def __init__(self, model: GroundingDinoForObjectDetection) -> None:
        self.model = model
        self._image = _ImageTap(model.model.backbone)
        self._text = _TextTap()
        self._towers = (model.model.backbone, model.model.text_backbone)
        model.model.backbone, model.model.text_backbone = self._image, self._text
        self._class_heads = [model.model.encoder_output_class_embed, *model.class_embed]

    def restore_towers(self) -> GroundingDinoForObjectDetection:
        """Give the model its towers back and return it."""
        self.model.model.backbone, self.model.model.text_backbone = self._towers
        for head in self._class_heads:
            head.max_text_len = LONGEST_CAPTION
        return self.model

    def __call__(self, features: Tensor, captions: Sequence[Caption]) -> Predictions:
        """Run the trained part on cached maps (batch, channels, side, side) and one caption per picture."""
        ids, text = (value.to(features.device) for value in _pad(captions))
        self._image.features, self._text.features = features, text
        for head in self._class_heads:
            head.max_text_len = ids.shape[1]
        mask = ids > 0
        output = self.model(
            pixel_values=features.new_empty(len(captions), 3, 1, 1),
            input_ids=ids,
            attention_mask=mask.long(),
        )
        spans = [caption.spans for caption in captions]
        return predictions_of(self.model, output, mask, spans, self._image.shapes)


class _ImageTap(nn.Module):
    """Goes on from cached maps, in the place of the image tower; masks are of whole pictures."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.position_embedding = tower.position_embedding
        self.network = tower.conv_encoder.model.features
        self.features = torch.empty(0)
        self.shapes: list[tuple[int, int]] = []
        self._positions: dict[tuple[int, ...], Tensor] = {}

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
        with _float32_on_cpu(self.features.device):
            levels = trained_part(self.network, self.features.contiguous(memory_format=torch.channels_last))
        self.shapes = [(level.shape[2], level.shape[3]) for level in levels]
        masked = [(level, torch.ones_like(level[:, 0], dtype=torch.bool)) for level in levels]
        return masked, [self._position(level, mask) for level, mask in masked]

    def _position(self, level: Tensor, mask: Tensor) -> Tensor:
        key = tuple(mask.shape)
        if key not in self._positions:
            self._positions[key] = self.position_embedding(level, mask)
        return self._positions[key]


def _float32_on_cpu(device: torch.device) -> AbstractContextManager[Any]:
    """Keep convolutions out of bfloat16 on a CPU, where the gradient of those by channel is slow in it."""
    return torch.autocast("cpu", enabled=False) if device.type == "cpu" else nullcontext()


class _TextTap(nn.Module):
    """Hands out cached text features in the place of the text tower."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.empty(0)

    def forward(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.features)


def _pad(captions: Sequence[Caption]) -> tuple[Tensor, Tensor]:
    longest = max(len(caption.ids) for caption in captions)
    ids = torch.zeros(len(captions), longest, dtype=torch.long)
    text = torch.zeros(len(captions), longest, captions[0].features.shape[1])
    for row, caption in enumerate(captions):
        ids[row, : len(caption.ids)] = torch.tensor(caption.ids)
        text[row, : len(caption.ids)] = caption.features
    return ids, text
