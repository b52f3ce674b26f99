"""Derive the network's configuration from the shapes of an original file's tensors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.errors import WeightsError
from autolabel.weights import TensorHeader, read_mapping
from autolabel_grounding_dino.params import GroundingDinoParams

if TYPE_CHECKING:
    from torch import Tensor

_State = Mapping[str, "Tensor"]
_Shapes = Mapping[str, "Tensor | TensorHeader"]
_log = logging.getLogger(__name__)

_HEADS = 8
_TEMPERATURE = 20
_BERT_HEAD_WIDTH = 64
_SWIN_NAMES = {96: "tiny", 128: "base", 192: "large"}


def configure(state: _Shapes, params: GroundingDinoParams, text: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a ``GroundingDinoConfig`` for unwrapped tensors with IDEA-Research's names.

    Only shapes are read, so tensor headers suffice. ``shares_box_head`` states whether the decoder's layers share their
    box head, because shapes do not show it. ``text`` is the content of the text encoder's own configuration, empty if
    there is none. Raises WeightsError if a tensor that determines a size is missing; warns if ``params.model`` differs
    from the file.
    """
    model = params.model
    _check_axes(state)
    levels, width = _shape(state, "transformer.level_embed")
    encoder = "transformer.encoder.layers.0.self_attn.attention_weights.weight"
    decoder = "transformer.decoder.layers.0.cross_attn.attention_weights.weight"
    heads, encoder_points = _heads(_shape(state, encoder)[0] // levels, model.nheads, model.enc_n_points)
    decoder_points = _shape(state, decoder)[0] // levels // heads
    fields = {
        "backbone_config": _swin(state) if "backbone.0.patch_embed.proj.weight" in state else _resnet(state),
        "text_config": _bert(state, text),
        "d_model": width,
        "num_feature_levels": levels,
        "num_queries": _shape(state, "transformer.tgt_embed.weight")[0],
        "encoder_layers": _count(state, r"transformer\.encoder\.layers\.(\d+)\."),
        "decoder_layers": _count(state, r"transformer\.decoder\.layers\.(\d+)\."),
        "encoder_ffn_dim": _shape(state, "transformer.encoder.layers.0.linear1.weight")[0],
        "decoder_ffn_dim": _shape(state, "transformer.decoder.layers.0.linear1.weight")[0],
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_n_points": encoder_points,
        "decoder_n_points": decoder_points,
        "positional_embedding_temperature": model.pe_temperatureH or _TEMPERATURE,
        "two_stage_bbox_embed_share": False,
        "disable_custom_kernels": True,
    }
    _warn_of_differences(fields, params)
    return fields


def read_text_configuration(folder: Path | None) -> dict[str, Any]:
    """Return the content of a text encoder's config.json, empty if there is none.

    Raises WeightsError if it is not BERT's.
    """
    file = folder / "config.json" if folder else None
    if file is None or not file.is_file():
        return {}
    content = read_mapping(file)
    kind = content.get("model_type")
    if kind != "bert":
        raise WeightsError(f"{file}: the text encoder must be a BERT, got model_type {kind!r}")
    return content


def _shape(state: _Shapes, key: str) -> tuple[int, ...]:
    if key not in state:
        raise WeightsError(f"the checkpoint has no tensor {key!r}: it is not a two-stage Grounding DINO")
    return tuple(state[key].shape)


_AXES = {
    "transformer.level_embed": 2,
    "transformer.tgt_embed.weight": 2,
    "backbone.0.patch_embed.proj.weight": 4,
    "bert.embeddings.word_embeddings.weight": 2,
}
"""The number of axes of the tensors that determine sizes."""


def _check_axes(state: _Shapes) -> None:
    """Refuse tensors of unusable shape, and gaps in the numbering of layers."""
    for key, tensor in state.items():
        if 0 in tensor.shape or len(tensor.shape) != _AXES.get(key, len(tensor.shape)):
            raise WeightsError(f"the checkpoint's tensor {key!r} is of the shape {tuple(tensor.shape)}")
    for stack in ("encoder", "decoder"):
        found = set(_numbers(state, rf"transformer\.{stack}\.layers\.(\d{{1,4}})\."))
        if found and found != set(range(len(found))):
            missing = min(set(range(max(found))) - found)
            raise WeightsError(f"the checkpoint lacks layer {missing} of its {stack}, but has later ones")


def _numbers(state: _Shapes, pattern: str) -> Iterator[int]:
    compiled = re.compile(pattern)
    return (int(match[1]) for key in state if (match := compiled.match(key)))


def _count(state: _Shapes, pattern: str) -> int:
    return max(_numbers(state, pattern), default=-1) + 1


def _heads(product: int, heads: int | None, points: int | None) -> tuple[int, int]:
    """Split heads x points; shapes only give the product."""
    if heads is None:
        heads = product // points if points else _HEADS
    if product % heads or (points and heads * points != product):
        raise WeightsError(
            f"the checkpoint has {product} sampling points over all heads, which {heads} heads"
            + (f" with {points} points each" if points else "")
            + " do not make",
            hint="set model.nheads, model.enc_n_points and model.dec_n_points as in training",
        )
    return heads, product // heads


def shares_box_head(state: _State) -> bool:
    """Return whether all layers of the decoder have the same box head."""
    first = state.get("bbox_embed.0.layers.0.weight")
    others = (tensor for key, tensor in state.items() if re.fullmatch(r"bbox_embed\.\d+\.layers\.0\.weight", key))
    return first is None or all(tensor.equal(first) for tensor in others)


def _swin(state: _Shapes) -> dict[str, Any]:
    width, _, patch, _ = _shape(state, "backbone.0.patch_embed.proj.weight")
    stages = _count(state, r"backbone\.0\.layers\.(\d+)\.")
    tables = [
        _shape(state, f"backbone.0.layers.{stage}.blocks.0.attn.relative_position_bias_table")
        for stage in range(stages)
    ]
    window = (int(tables[0][0] ** 0.5) + 1) // 2
    return {
        "model_type": "swin",
        "embed_dim": width,
        "patch_size": patch,
        "depths": [_count(state, rf"backbone\.0\.layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)],
        "num_heads": [table[1] for table in tables],
        "window_size": window,
        "image_size": 384 if window == 12 else 224,
        "mlp_ratio": _shape(state, "backbone.0.layers.0.blocks.0.mlp.fc1.weight")[0] / width,
        "qkv_bias": "backbone.0.layers.0.blocks.0.attn.qkv.bias" in state,
        "out_features": [f"stage{number + 1}" for number in sorted(set(_numbers(state, r"backbone\.0\.norm(\d)\.")))],
    }


def _resnet(state: _Shapes) -> dict[str, Any]:
    stem = _shape(state, "backbone.0.conv1.weight")[0]
    kernel = _shape(state, "backbone.0.layer1.0.conv1.weight")[-1]
    last = f"conv{3 if kernel == 1 else 2}"
    sizes = [_shape(state, f"backbone.0.layer{stage}.0.{last}.weight")[0] for stage in range(1, 5)]
    names = {channels: f"stage{number}" for number, channels in enumerate(sizes, 1)}
    projections = [tensor for key, tensor in state.items() if re.fullmatch(r"input_proj\.\d+\.0\.weight", key)]
    return {
        "model_type": "resnet",
        "embedding_size": stem,
        "hidden_sizes": sizes,
        "depths": [_count(state, rf"backbone\.0\.layer{stage}\.(\d+)\.") for stage in range(1, 5)],
        "layer_type": "bottleneck" if kernel == 1 else "basic",
        "out_features": [names[tensor.shape[1]] for tensor in projections if tensor.shape[-1] == 1],
    }


def _bert(state: _Shapes, text: Mapping[str, Any]) -> dict[str, Any]:
    vocabulary, width = _shape(state, "bert.embeddings.word_embeddings.weight")
    heads = text.get("num_attention_heads") or width // _BERT_HEAD_WIDTH
    if heads < 1 or width % heads:
        raise WeightsError(
            f"the text encoder is {width} wide, and its number of heads is unknown",
            hint="set text_encoder to the folder with its config.json and tokenizer",
        )
    return {
        **{key: text[key] for key in ("hidden_act", "layer_norm_eps", "pad_token_id") if key in text},
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": _count(state, r"bert\.encoder\.layer\.(\d+)\."),
        "intermediate_size": _shape(state, "bert.encoder.layer.0.intermediate.dense.weight")[0],
        "max_position_embeddings": _shape(state, "bert.embeddings.position_embeddings.weight")[0],
        "type_vocab_size": _shape(state, "bert.embeddings.token_type_embeddings.weight")[0],
    }


def _warn_of_differences(fields: Mapping[str, Any], params: GroundingDinoParams) -> None:
    model = params.model
    said = {
        "hidden_dim": (model.hidden_dim, fields["d_model"]),
        "enc_layers": (model.enc_layers, fields["encoder_layers"]),
        "dec_layers": (model.dec_layers, fields["decoder_layers"]),
        "dim_feedforward": (model.dim_feedforward, fields["encoder_ffn_dim"]),
        "num_feature_levels": (model.num_feature_levels, fields["num_feature_levels"]),
        "dec_n_points": (model.dec_n_points, fields["decoder_n_points"]),
        "backbone": (params.backbone, _matching_name(params.backbone, fields["backbone_config"])),
    }
    for name, (wanted, found) in said.items():
        if wanted is not None and wanted != found:
            _log.warning("%s is %s in the spec and %s in the checkpoint, which counts", name, wanted, found)


def _matching_name(name: str | None, backbone: Mapping[str, Any]) -> str | None:
    """Return the spec's backbone name if it fits the file, otherwise one that fits."""
    if backbone["model_type"] == "resnet":
        return "resnet_50"
    size = _SWIN_NAMES.get(backbone["embed_dim"], f"of width {backbone['embed_dim']}")
    window = "384" if backbone["window_size"] == 12 else "224"
    fitting = f"swin_{size}_{window}"
    return name if name and name.lower().startswith(fitting) else fitting
