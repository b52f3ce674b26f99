"""Detect the form of a Grounding DINO checkpoint and check that it fits, from its headers, without torch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError
from autolabel.weights import bare, compare_shapes, headers_of, plain_configuration
from autolabel_grounding_dino.configure import configure, read_text_configuration
from autolabel_grounding_dino.convert import is_original, unwrapped
from autolabel_grounding_dino.params import GroundingDinoParams
from autolabel_labeling.configuration import other_labeler, read_configuration

_KIND = "grounding-dino"
_MASK_MODEL = "mask_head.convs.0.conv.weight"
SIZES: dict[str, tuple[str, int]] = {
    "d_model": ("model.level_embed", 1),
    "num_feature_levels": ("model.level_embed", 0),
    "num_queries": ("model.query_position_embeddings.weight", 0),
    "encoder_ffn_dim": ("model.encoder.layers.0.deformable_layer.fc1.weight", 0),
    "decoder_ffn_dim": ("model.decoder.layers.0.fc1.weight", 0),
    "text_config.vocab_size": ("model.text_backbone.embeddings.word_embeddings.weight", 0),
    "text_config.hidden_size": ("model.text_backbone.embeddings.word_embeddings.weight", 1),
}
"""Numbers of a configuration, with the tensor and the axis that must agree."""
COUNTS = {
    "encoder_layers": "model.encoder.layers.",
    "decoder_layers": "model.decoder.layers.",
    "text_config.num_hidden_layers": "model.text_backbone.encoder.layer.",
}
"""Numbers of layers of a configuration, with what stands before their numbers in names."""
WORDS = "model.text_backbone.embeddings.word_embeddings.weight"


def refuse_other_model(path: Path) -> None:
    """Raise WeightsError if a folder's configuration belongs to a model of another labeler."""
    kind = read_configuration(path).get("model_type") if path.is_dir() else None
    if kind != _KIND and (hint := other_labeler(kind)):
        raise WeightsError(f"{path}: config.json says model_type {kind!r}; wanted a two-stage {_KIND!r}", hint=hint)


def transformers_fields(path: Path, state: Collection[str]) -> dict[str, Any]:
    """Return the configuration of tensors with transformers' names; raises WeightsError if it is another model's."""
    if any(key.endswith(_MASK_MODEL) for key in state):
        raise WeightsError(
            f"{path}: a mask model (MAL), which makes masks of boxes", hint="use the labeler mal, behind a detector"
        )
    content = read_configuration(path)
    if not content:
        raise WeightsError(
            f"{path}: neither IDEA-Research's nor TAO's Grounding DINO, and there is no config.json beside it"
        )
    kind = content.get("model_type")
    if kind != _KIND or not content.get("two_stage", True):
        raise WeightsError(
            f"{path}: config.json says model_type {kind!r}; wanted a two-stage {_KIND!r}", hint=other_labeler(kind)
        )
    return content


def check_form(path: Path, params: GroundingDinoParams, text_folder: Path, *, vocabulary: int) -> None:
    """Raise WeightsError unless a checkpoint's tensors match its configuration.

    ``vocabulary`` is the size of the tokenizer's vocabulary. Only names and shapes in the headers are compared; loading
    compares every tensor.
    """
    headers = headers_of(path)
    if headers is None:
        return
    original = unwrapped(headers)
    if is_original(original):
        fields = configure(original, params, read_text_configuration(text_folder))
        words = fields["text_config"]["vocab_size"]
    else:
        own = bare(headers)
        fields = plain_configuration(transformers_fields(path, own), path)
        compare_shapes(fields, own, path, sizes=SIZES, counts=COUNTS, title="a Grounding DINO")
        words = own[WORDS].shape[0] if WORDS in own else vocabulary
    check_vocabulary(path, text_folder, words=words, tokenizer=vocabulary)


def check_vocabulary(path: Path, text_folder: Path, *, words: int, tokenizer: int) -> None:
    """Raise WeightsError if the tokenizer's vocabulary is larger than the network's embedding table."""
    if tokenizer > words:
        raise WeightsError(
            f"{path}: knows {words} words, the tokenizer of {text_folder} has {tokenizer}",
            hint="set text_encoder to the tokenizer that it was trained with",
        )
