"""Read MM-Grounding-DINO from a Hugging Face folder into Grounding DINO's network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError
from autolabel.weights import bare, load_state_dict
from autolabel_grounding_dino.load import assemble
from autolabel_grounding_dino.network import Network
from autolabel_grounding_dino.similarity import Similarity
from autolabel_labeling.configuration import read_configuration
from autolabel_labeling.params import GroundedParams
from autolabel_labeling.pretrained import Architecture, build_model

_MM_GROUNDING_DINO = Architecture(
    title="an MM-Grounding-DINO", configuration="MMGroundingDinoConfig", model="MMGroundingDinoForObjectDetection"
)


def load_mm_network(path: Path, params: GroundedParams, *, device: str) -> Network:
    """Return the network of a folder on ``device``, in float32; raises WeightsError if it does not fit."""
    fields = read_configuration(path)
    if not fields.get("two_stage", True):
        raise WeightsError(f"{path}: an MM-Grounding-DINO without two stages, which is not supported")
    model = build_model(_MM_GROUNDING_DINO, fields, bare(load_state_dict(path)), path=path)
    return assemble(
        model,
        params,
        device=device,
        proposing=_similarity(model.model.encoder_output_class_embed, model.config.d_model),
        deciding=_similarity(model.class_embed[-1], model.config.d_model),
    )


def _similarity(head: Any, width: int) -> Similarity:
    """Return a head's similarity: scaled by the square root of the width, with a learned bias."""
    return Similarity(scale=1 / math.sqrt(width), bias=float(head.bias))
