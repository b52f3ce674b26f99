"""Read a Grounding DINO checkpoint in any of its four formats into a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autolabel.errors import WeightsError
from autolabel.weights import bare, load_state_dict, refuse_not_finite
from autolabel_grounding_dino.attention import TablelessAttention
from autolabel_grounding_dino.configure import configure, read_text_configuration, shares_box_head
from autolabel_grounding_dino.convert import UNUSED, is_original, to_transformers, unwrapped
from autolabel_grounding_dino.deformable import quickened
from autolabel_grounding_dino.feed_forward import FeedForward
from autolabel_grounding_dino.form import transformers_fields
from autolabel_grounding_dino.fusion import ReassociatedFusion
from autolabel_grounding_dino.halved import halve_towers
from autolabel_grounding_dino.network import Network
from autolabel_grounding_dino.params import GroundingDinoParams
from autolabel_grounding_dino.similarity import Similarity, read_similarity
from autolabel_labeling import efficientnet  # noqa: F401  (registers the shipped checkpoint's backbone)
from autolabel_labeling.params import GroundedParams
from autolabel_labeling.pretrained import Architecture, build_model
from autolabel_labeling.windows import gather_windows

_log = logging.getLogger(__name__)

_GROUNDING_DINO = Architecture(
    title="a Grounding DINO", configuration="GroundingDinoConfig", model="GroundingDinoForObjectDetection"
)
_STATED = "autolabel_similarity"
"""The field of a configuration that states scale and bias of the encoder's head and of each decoder layer's."""
_FEED_FORWARD = {
    "GroundingDinoDeformableLayer": "activation_fn",
    "GroundingDinoDecoderLayer": "activation_fn",
    "GroundingDinoTextEnhancerLayer": "activation",
}
"""Layers that end in two linear ones, with the name of the activation between them."""


def load_network(path: Path, params: GroundingDinoParams, *, text_folder: Path | None, device: str) -> Network:
    """Return the network of a checkpoint file or folder on ``device``, its weights in float32.

    ``text_folder`` holds the text encoder's configuration, for files that carry none. Raises WeightsError if the
    tensors do not fit, naming the first of them.
    """
    model, similarities = _read_model(path, params, text_folder=text_folder)
    return assemble(model, params, device=device, proposing=similarities[0], deciding=similarities[-1])


def load_model(path: Path, params: GroundingDinoParams, *, text_folder: Path | None) -> Any:
    """Return a checkpoint as transformers' model, for further training.

    A scale or bias of the similarity stays as it is: the model's heads apply it, and its configuration states it.
    Raises WeightsError as ``load_network`` does.
    """
    model, similarities = _read_model(path, params, text_folder=text_folder)
    if any(one != Similarity() for one in similarities):
        for head, one in zip((model.model.encoder_output_class_embed, *model.class_embed), similarities, strict=True):
            head.register_forward_hook(one.rescale)
        setattr(model.config, _STATED, [asdict(one) for one in similarities])
    return model


def _read_model(
    path: Path, params: GroundingDinoParams, *, text_folder: Path | None
) -> tuple[Any, Sequence[Similarity]]:
    """Return transformers' model of a checkpoint, and the similarities of its encoder's and decoder layers' heads."""
    state = load_state_dict(path)
    original = unwrapped(state)
    if is_original(original):
        refuse_not_finite({key: tensor for key, tensor in original.items() if not UNUSED.search(key)}, path)
        fields = configure(original, params, read_text_configuration(text_folder))
        fields["decoder_bbox_embed_share"] = shares_box_head(original)
        model = build_model(_GROUNDING_DINO, fields, to_transformers(original), path=path)
        return model, _similarities(original, fields, params)
    fields = transformers_fields(path, bare(state))
    model = build_model(_GROUNDING_DINO, fields, bare(state), path=path)
    return model, _stated(path, fields, count=1 + model.config.decoder_layers)


def _stated(path: Path, fields: Mapping[str, Any], *, count: int) -> Sequence[Similarity]:
    """Return the similarities that a configuration states; those of a published checkpoint have no scale."""
    stated = fields.get(_STATED)
    if stated is None:
        return [Similarity()] * count
    try:
        found = [Similarity(scale=float(one["scale"]), bias=float(one["bias"])) for one in stated]
    except (TypeError, KeyError, ValueError):
        found = []
    if len(found) != count or not all(isfinite(one.scale) and isfinite(one.bias) for one in found):
        raise WeightsError(f"{path}: {_STATED} in its config.json must state {count} numbers scale and bias")
    return found


def assemble(
    model: Any, params: GroundedParams, *, device: str, proposing: Similarity, deciding: Similarity
) -> Network:
    """Wrap transformers' model as a network on ``device``, replacing modules by faster exact ones.

    Warns if more boxes are requested than the model has queries.
    """
    wanted, found = params.num_queries, model.config.num_queries
    if wanted is not None and wanted > found:
        _log.warning("num_queries is %s in the spec, the checkpoint has %s", wanted, found)
    _quicken(model, device)
    if device == "cpu":
        gather_windows(model)
    model.to(device)
    half = params.precision == "bfloat16"
    if half and device == "cpu":
        halve_towers(model.model)
        half = False  # no autocast: what is to be bfloat16 is
    return Network(model, device=device, proposing=proposing, deciding=deciding, num_queries=wanted, half=half)


def _similarities(
    state: Mapping[str, Tensor], fields: Mapping[str, Any], params: GroundingDinoParams
) -> Sequence[Similarity]:
    """Return the similarities of proposals and of each decoder layer's boxes to tokens."""
    layers = (f"class_embed.{layer}" for layer in range(fields["decoder_layers"]))
    return [
        read_similarity(state, head, log_scale=params.model.log_scale, width=fields["d_model"])
        for head in ("transformer.enc_out_class_embed", *layers)
    ]


def _quicken(model: Any, device: str) -> None:
    """Replace attentions, feed-forward layers and image-text fusion by faster exact modules."""
    for module in list(model.modules()):
        kind = _kind(module)
        if kind == "GroundingDinoFusionLayer":
            module.attn = ReassociatedFusion(module.attn)
        elif kind in _FEED_FORWARD and isinstance(getattr(module, _FEED_FORWARD[kind]), nn.ReLU):
            module.fc1 = FeedForward(module.fc1, module.fc2)
            module.fc2 = nn.Identity()
            setattr(module, _FEED_FORWARD[kind], nn.Identity())
        for name, part in list(module.named_children()):
            if _kind(part) == "GroundingDinoMultiheadAttention":
                setattr(module, name, TablelessAttention(part))
            elif _kind(part) == "GroundingDinoMultiscaleDeformableAttention":
                setattr(module, name, quickened(part, device))


def _kind(module: nn.Module) -> str:
    """Return a module's class name, with MM-Grounding-DINO's layers named as Grounding DINO's."""
    return type(module).__name__.removeprefix("MM")
