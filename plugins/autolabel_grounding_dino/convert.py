"""Rename the tensors of IDEA-Research's and TAO's files to the names of published transformers checkpoints."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from autolabel.weights import bare

if TYPE_CHECKING:
    from torch import Tensor

_T = TypeVar("_T")

_WRAPPERS = ("module.", "model.")
_BACKBONE = "model.backbone.conv_encoder.model."
_SWIN_BLOCK = r"^backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\."
_RESNET_BLOCK = r"^backbone\.0\.layer(\d+)\.(\d+)\."
_ENCODER, _DECODER = r"^transformer\.encoder\.", r"^transformer\.decoder\."

UNUSED = re.compile(
    r"^bert\.pooler\.|^bert\.embeddings\.position_ids$|^label_enc\.|\.relative_position_index$|\.num_batches_tracked$"
    r"|^backbone\.0\.(fc|head)\.|class_embed\.(\d+\.)?(bias|log_scale)$"
)
"""Keys that detection does not read; those of ``class_embed`` are read by ``similarity`` instead."""


def _block(stage: str, block: str) -> str:
    return f"{_BACKBONE}encoder.layers.{stage}.blocks.{block}."


_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^backbone\.0\.patch_embed\.proj\.", f"{_BACKBONE}embeddings.patch_embeddings.projection."),
    (r"^backbone\.0\.patch_embed\.norm\.", f"{_BACKBONE}embeddings.norm."),
    (_SWIN_BLOCK + r"norm1\.", _block(r"\1", r"\2") + "layernorm_before."),
    (_SWIN_BLOCK + r"norm2\.", _block(r"\1", r"\2") + "layernorm_after."),
    (_SWIN_BLOCK + r"attn\.proj\.", _block(r"\1", r"\2") + "attention.output.dense."),
    (
        _SWIN_BLOCK + r"attn\.relative_position_bias_table",
        _block(r"\1", r"\2") + "attention.self.relative_position_bias_table",
    ),
    (_SWIN_BLOCK + r"attn\.(query|key|value)\.", _block(r"\1", r"\2") + r"attention.self.\3."),
    (_SWIN_BLOCK + r"mlp\.fc1\.", _block(r"\1", r"\2") + "intermediate.dense."),
    (_SWIN_BLOCK + r"mlp\.fc2\.", _block(r"\1", r"\2") + "output.dense."),
    (r"^backbone\.0\.layers\.(\d+)\.downsample\.", _BACKBONE + r"encoder.layers.\1.downsample."),
    (r"^bert\.", "model.text_backbone."),
    (r"^feat_map\.", "model.text_projection."),
    (r"^input_proj\.", "model.input_proj_vision."),
    (_ENCODER + r"layers\.(\d+)\.self_attn\.", r"model.encoder.layers.\1.deformable_layer.self_attn."),
    (_ENCODER + r"layers\.(\d+)\.norm1\.", r"model.encoder.layers.\1.deformable_layer.self_attn_layer_norm."),
    (_ENCODER + r"layers\.(\d+)\.linear(\d)\.", r"model.encoder.layers.\1.deformable_layer.fc\2."),
    (_ENCODER + r"layers\.(\d+)\.norm2\.", r"model.encoder.layers.\1.deformable_layer.final_layer_norm."),
    (_ENCODER + r"text_layers\.(\d+)\.self_attn\.", r"model.encoder.layers.\1.text_enhancer_layer.self_attn."),
    (_ENCODER + r"text_layers\.(\d+)\.linear(\d)\.", r"model.encoder.layers.\1.text_enhancer_layer.fc\2."),
    (_ENCODER + r"text_layers\.(\d+)\.norm1\.", r"model.encoder.layers.\1.text_enhancer_layer.layer_norm_before."),
    (_ENCODER + r"text_layers\.(\d+)\.norm2\.", r"model.encoder.layers.\1.text_enhancer_layer.layer_norm_after."),
    (_ENCODER + r"fusion_layers\.(\d+)\.gamma_v", r"model.encoder.layers.\1.fusion_layer.vision_param"),
    (_ENCODER + r"fusion_layers\.(\d+)\.gamma_l", r"model.encoder.layers.\1.fusion_layer.text_param"),
    (_ENCODER + r"fusion_layers\.(\d+)\.layer_norm_v\.", r"model.encoder.layers.\1.fusion_layer.layer_norm_vision."),
    (_ENCODER + r"fusion_layers\.(\d+)\.layer_norm_l\.", r"model.encoder.layers.\1.fusion_layer.layer_norm_text."),
    (
        _ENCODER + r"fusion_layers\.(\d+)\.attn\.(values_|out_)?v_proj\.",
        r"model.encoder.layers.\1.fusion_layer.attn.\2vision_proj.",
    ),
    (
        _ENCODER + r"fusion_layers\.(\d+)\.attn\.(values_|out_)?l_proj\.",
        r"model.encoder.layers.\1.fusion_layer.attn.\2text_proj.",
    ),
    (_DECODER + r"layers\.(\d+)\.self_attn\.", r"model.decoder.layers.\1.self_attn."),
    (_DECODER + r"layers\.(\d+)\.norm2\.", r"model.decoder.layers.\1.self_attn_layer_norm."),
    (_DECODER + r"layers\.(\d+)\.ca_text\.", r"model.decoder.layers.\1.encoder_attn_text."),
    (_DECODER + r"layers\.(\d+)\.catext_norm\.", r"model.decoder.layers.\1.encoder_attn_text_layer_norm."),
    (_DECODER + r"layers\.(\d+)\.cross_attn\.", r"model.decoder.layers.\1.encoder_attn."),
    (_DECODER + r"layers\.(\d+)\.norm1\.", r"model.decoder.layers.\1.encoder_attn_layer_norm."),
    (_DECODER + r"layers\.(\d+)\.linear(\d)\.", r"model.decoder.layers.\1.fc\2."),
    (_DECODER + r"layers\.(\d+)\.norm3\.", r"model.decoder.layers.\1.final_layer_norm."),
    (_DECODER + r"norm\.", "model.decoder.layer_norm."),
    (_DECODER + r"ref_point_head\.", "model.decoder.reference_points_head."),
    (_DECODER + r"bbox_embed\.", "model.decoder.bbox_embed."),
    (r"^transformer\.level_embed$", "model.level_embed"),
    (r"^transformer\.tgt_embed\.", "model.query_position_embeddings."),
    (r"^transformer\.enc_output\.", "model.enc_output."),
    (r"^transformer\.enc_output_norm\.", "model.enc_output_norm."),
    (r"^transformer\.enc_out_bbox_embed\.", "model.encoder_output_bbox_embed."),
    (r"^backbone\.0\.conv1\.", f"{_BACKBONE}embedder.embedder.convolution."),
    (r"^backbone\.0\.bn1\.", f"{_BACKBONE}embedder.embedder.normalization."),
)
_PATTERNS = tuple((re.compile(pattern), replacement) for pattern, replacement in _RENAMES)
_STAGE_NORM = re.compile(r"^backbone\.0\.norm(\d)\.")
_RESNET_LAYER = re.compile(_RESNET_BLOCK + r"(conv|bn|downsample\.(?=[01]))(\d)\.")
_RESNET_PARTS = {"conv": "convolution", "bn": "normalization"}
_PACKED = re.compile(r"(?P<start>.*\.)(?:qkv\.|in_proj_)(?P<kind>weight|bias)$")


def unwrapped(state: Mapping[str, _T]) -> dict[str, _T]:
    """Return the tensors under IDEA-Research's names: without wrappers' prefixes and TAO's ``body``."""
    return {_unwrap(key): tensor for key, tensor in bare(state).items()}


def _unwrap(key: str) -> str:
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key.replace("backbone.0.body.", "backbone.0.", 1)


def is_original(state: Collection[str]) -> bool:
    """Return whether unwrapped tensors have IDEA-Research's names (TAO's are the same), not those of transformers."""
    return "transformer.level_embed" in state


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return unwrapped tensors under the names of published transformers checkpoints, packed projections split.

    Unknown names are kept, so that loading can report them.
    """
    return {rename(key): tensor for key, tensor in _split(state.items()) if not UNUSED.search(key)}


def _split(items: Iterable[tuple[str, Tensor]]) -> Iterable[tuple[str, Tensor]]:
    for key, tensor in items:
        if (packed := _PACKED.match(key)) is None:
            yield key, tensor
            continue
        for role, part in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            yield f"{packed['start']}{role}.{packed['kind']}", part


def rename(key: str) -> str:
    """Return the transformers name of one unpacked tensor."""
    if stage := _STAGE_NORM.match(key):
        return f"{_BACKBONE}hidden_states_norms.stage{int(stage[1]) + 1}.{key[stage.end() :]}"
    if layer := _RESNET_LAYER.match(key):
        return _rename_resnet(layer, key[layer.end() :])
    for pattern, replacement in _PATTERNS:
        if pattern.match(key):
            return pattern.sub(replacement, key, count=1)
    return key


def _rename_resnet(layer: re.Match[str], rest: str) -> str:
    stage, block, part, number = int(layer[1]) - 1, layer[2], layer[3], int(layer[4])
    start = f"{_BACKBONE}encoder.stages.{stage}.layers.{block}."
    if part == "downsample.":
        return f"{start}shortcut.{('convolution', 'normalization')[number]}.{rest}"
    return f"{start}layer.{number - 1}.{_RESNET_PARTS[part]}.{rest}"
