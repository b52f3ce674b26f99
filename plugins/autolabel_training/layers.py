"""The outputs of Grounding DINO's heads at every layer; transformers' model returns only the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autolabel_training.loss import Predictions


def predictions_of(
    model: Any, output: Any, mask: Tensor, spans: list[list[list[int]]], shapes: Sequence[tuple[int, int]]
) -> Predictions:
    """Return float32 predictions of all decoder layers and of the encoder.

    ``model`` is a GroundingDinoForObjectDetection and ``output`` its output with ``auxiliary_loss`` on. ``mask``
    (batch, tokens) is True for tokens that are not padding; ``shapes`` are those of the encoder's maps.
    """
    references = [output.init_reference_points, *output.intermediate_reference_points.unbind(1)]
    logits, boxes = [], []
    for layer, states in enumerate(output.intermediate_hidden_states.unbind(1)):
        logits.append(model.class_embed[layer](states, output.encoder_last_hidden_state_text, mask).float())
        reference = torch.special.logit(references[layer], eps=1e-5)
        boxes.append((model.bbox_embed[layer](states).float() + reference.float()).sigmoid())
    return Predictions(
        layer_logits=logits,
        layer_boxes=boxes,
        dense_logits=output.enc_outputs_class.float(),
        dense_boxes=output.enc_outputs_coord_logits.float().sigmoid(),
        token_mask=mask,
        spans=spans,
        shapes=shapes,
    )
