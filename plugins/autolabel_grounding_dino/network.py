"""Grounding DINO in three separate steps: encode images, encode captions, decode boxes from both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autolabel_grounding_dino.features import ImageFeatures, VisionEncoder
from autolabel_grounding_dino.similarity import Similarity
from autolabel_grounding_dino.text import TextBatch, TextEncoder
from autolabel_labeling.tensors import PixelBatch

_SATURATION = 1e-5
_CODE_TEMPERATURE = 10000


@dataclass(frozen=True, slots=True)
class _NetworkOutput:
    """The network's output for B images: Q boxes each, scored against the T tokens of their captions."""

    logits: Tensor
    """(B, Q, T), -inf at padded tokens."""
    boxes: Tensor
    """(B, Q, 4): centre x, y, width, height in parts of the image without its padding."""


class Network:
    """transformers' Grounding DINO with its parts called separately, so that vision and text features can be cached."""

    def __init__(
        self,
        model: Any,
        *,
        device: str,
        proposing: Similarity,
        deciding: Similarity,
        num_queries: int | None = None,
        half: bool = False,
    ) -> None:
        self._head, self._model = model, model.model
        self._proposing, self._deciding = proposing, deciding
        self._queries = min(num_queries or model.config.num_queries, model.config.num_queries)
        self.vision = VisionEncoder(self._model)
        self.text = TextEncoder(self._model.text_backbone, self._model.text_projection, device=device)
        self._device, self._half = torch.device(device).type, half
        self.passes = 0

    def see(self, batch: PixelBatch) -> ImageFeatures:
        """Return the features of images."""
        with self._precision():
            return self.vision.encode(batch)

    def _precision(self) -> torch.autocast:
        """Return the autocast context of large products: bfloat16 if requested; ranking and boxes stay in float32."""
        return torch.autocast(self._device, torch.bfloat16, enabled=self._half)

    def ask(self, images: ImageFeatures, captions: Sequence[tuple[int, ...]]) -> _NetworkOutput:
        """Run one caption (token ids) per image; results do not depend on the batch."""
        text = self.text.batch(captions)
        self.passes += len(captions)
        with self._precision():
            seen, read = self._encode(images, text)
        references = self._propose(images, seen, read, text)
        with self._precision():
            queries, references = self._decode(images, text, seen=seen, read=read, references=references)
        logits = self._deciding(queries, read).masked_fill(~text.valid[:, None], -torch.inf)
        boxes = (self._head.bbox_embed[-1](queries) + _logit(references)).sigmoid()
        return _NetworkOutput(logits.float(), boxes.float())

    def _encode(self, images: ImageFeatures, text: TextBatch) -> tuple[Tensor, Tensor]:
        """Return image places (B, S, width) and tokens (B, T, width) after cross-attention."""
        output = self._model.encoder(
            vision_features=images.tokens,
            vision_attention_mask=~images.valid,
            vision_position_embedding=images.positions,
            spatial_shapes=images.extents,
            spatial_shapes_list=list(images.shapes),
            level_start_index=images.starts,
            valid_ratios=images.ratios,
            text_features=text.features,
            text_attention_mask=~text.valid,
            text_self_attention_masks=~text.attends,
            text_position_ids=text.positions.to(text.features.dtype),  # before 5.23 codes have the type of positions
            return_dict=True,
        )
        return output.last_hidden_state_vision.float(), output.last_hidden_state_text.float()

    def _propose(self, images: ImageFeatures, seen: Tensor, read: Tensor, text: TextBatch) -> Tensor:
        """Return the boxes (B, Q, 4) of the places with the best match to any token."""
        places, anchors = self._model.generate_encoder_output_proposals(seen, ~images.valid, list(images.shapes))
        logits = self._proposing(places, read).masked_fill(~text.valid[:, None], -torch.inf)
        best = self._ranked(logits)[..., None]
        boxes = self._model.encoder_output_bbox_embed(places.take_along_dim(best, 1)) + anchors.take_along_dim(best, 1)
        proposals: Tensor = boxes.sigmoid()
        return proposals

    def _ranked(self, logits: Tensor) -> Tensor:
        """Return the places (B, Q) with the best match to any token, by logits (B, places, T): the best one first.

        A place's rank chooses its learned query, so places that change ranks change their boxes.
        """
        return logits.amax(-1).topk(min(self._queries, logits.shape[1]), dim=1).indices

    def _decode(
        self, images: ImageFeatures, text: TextBatch, *, seen: Tensor, read: Tensor, references: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the normalised queries (B, Q, width) after the last layer, and the boxes that entered that layer."""
        decoder = self._model.decoder
        hidden = self._model.query_position_embeddings.weight[: references.shape[1]].expand(len(seen), -1, -1)
        ratios = torch.cat([images.ratios, images.ratios], -1)[:, None]
        padding = torch.zeros_like(text.valid, dtype=seen.dtype).masked_fill(~text.valid, torch.finfo(seen.dtype).min)
        last = len(decoder.layers) - 1
        for number, layer in enumerate(decoder.layers):
            placed = references[:, :, None] * ratios
            hidden = layer(
                hidden_states=hidden,
                position_embeddings=decoder.reference_points_head(_sine_code(placed[:, :, 0], hidden.shape[-1] // 2)),
                reference_points=placed,
                spatial_shapes=images.extents,
                spatial_shapes_list=list(images.shapes),
                level_start_index=images.starts,
                vision_encoder_hidden_states=seen,
                vision_encoder_attention_mask=images.valid,
                text_encoder_hidden_states=read,
                text_encoder_attention_mask=padding[:, None, None],
            )[0]
            if number < last:
                references = (decoder.bbox_embed[number](hidden).float() + _logit(references)).sigmoid()
        return decoder.layer_norm(hidden).float(), references


def _logit(parts: Tensor) -> Tensor:
    logits: Tensor = torch.special.logit(parts, eps=_SATURATION)
    return logits


def _sine_code(boxes: Tensor, width: int) -> Tensor:
    """Return (B, Q, 4 * width): y, x, width, height of boxes (B, Q, 4), each as interleaved sines and cosines."""
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=boxes.device) / width
    angles = boxes[..., [1, 0, 2, 3], None] * (2 * math.pi) / _CODE_TEMPERATURE**exponents
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-3)
