"""Reduce a model's configuration to the sizes of its network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError

_STEERING = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation",
        "_name_or_path",
        "attn_implementation",
        "auto_map",
        "custom_pipelines",
        "dtype",
        "experts_implementation",
        "name_or_path",
        "torch_dtype",
        "transformers_weights",
        "trust_remote_code",
        "use_kernels",
    }
)
"""Keys that choose code, packages, files or addresses: left out, at every depth."""
_REFUSED = {
    "quantization_config": "its weights are quantized",
    "compression_config": "its weights are compressed",
    "sparsity_config": "its weights are compressed",
    "peft_type": "it is an adapter, not a model",
}
"""Keys of models that are not read here."""
_SUB_MODELS = frozenset(
    {
        "bert",
        "clip_text_model",
        "clip_vision_model",
        "convnext",
        "convnextv2",
        "dinov2",
        "efficientnet_lite0",
        "focalnet",
        "hiera",
        "owlv2_text_model",
        "owlv2_vision_model",
        "resnet",
        "sam2_hiera_det_model",
        "sam2_mask_decoder",
        "sam2_prompt_encoder",
        "sam2_vision_model",
        "sam3_detr_decoder",
        "sam3_detr_encoder",
        "sam3_geometry_encoder",
        "sam3_mask_decoder",
        "sam3_vision_model",
        "sam3_vit_model",
        "sam_mask_decoder",
        "sam_prompt_encoder",
        "sam_vision_model",
        "swin",
        "swinv2",
        "vit",
    }
)
"""The kinds of model that may be part of another one."""
_COUNTS = ("layer", "depth", "block", "stage", "level", "points", "ratio", "factor")
"""Words in the names of numbers of parts, and of what sizes are multiplied by."""
_MOST_PARTS = 1_000
_LARGEST_NUMBER = 1 << 20
_SIZE = re.compile(r"^num_|^d_model$|(^|_)(dim|size|layers|heads|levels|queries|channels)$")
"""Names of what is a whole number, or a list of them."""
_FREE = ("_id", "theta", "token", "eps", "init", "seed")
"""Words in the names of numbers that decide no size."""


def plain_configuration(fields: Mapping[str, Any], path: Path, *, timm: bool = False) -> dict[str, Any]:
    """Return a model's config.json reduced to settings of the network.

    Settings that select code or access the hub are removed at every depth. Raises WeightsError for settings that cannot
    be removed: quantized weights, unknown parts, a backbone given only by name (unless it is ``timm``'s, which needs no
    network), and implausible sizes.
    """
    kinds = _SUB_MODELS | ({"timm_backbone"} if timm else set())
    plain: dict[str, Any] = _plain(fields, path, "", kinds)
    _check_backbone(plain, path, timm=timm)
    return plain


def _plain(value: Any, path: Path, where: str, kinds: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key in _REFUSED and entry is not None:
                raise WeightsError(f"{path}: config.json has {where}{key}: {_REFUSED[key]}, which is not supported")
        kind = value.get("model_type")
        if where and kind and kind not in kinds:
            raise WeightsError(
                f"{path}: config.json says {where}model_type {str(kind)[:80]!r}, which is no part of a model that"
                " is read here"
            )
        return {
            key: False if key == "use_pretrained_backbone" else _plain(entry, path, f"{where}{key}.", kinds)
            for key, entry in value.items()
            if key not in _STEERING
        }
    if isinstance(value, list):
        return [_plain(item, path, where, kinds) for item in value]
    name = where.rstrip(".").rpartition(".")[2]
    if isinstance(value, str | float) and _SIZE.search(name):
        raise WeightsError(f"{path}: config.json says {where.rstrip('.')} {str(value)[:80]!r}; wanted a whole number")
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, path, where.rstrip("."))
    return value


def _check_number(number: float, path: Path, where: str) -> None:
    name = where.rpartition(".")[2].lower()
    if any(word in name for word in _FREE):
        return
    limit = _MOST_PARTS if any(word in name for word in _COUNTS) and "size" not in name else _LARGEST_NUMBER
    if abs(number) > limit:
        raise WeightsError(f"{path}: config.json says {where} {number:,}, and no model has more than {limit:,}")


def _check_backbone(fields: Mapping[str, Any], path: Path, *, timm: bool) -> None:
    """Refuse a backbone that would be downloaded by name."""
    if timm:
        return
    named = fields.get("backbone")
    if fields.get("use_timm_backbone") and not _described(fields):
        raise WeightsError(
            f"{path}: config.json says use_timm_backbone: its backbone is timm's, which is not supported"
        )
    if named is not None and not _described(fields):
        raise WeightsError(
            f"{path}: config.json describes its backbone by a name only ({str(named)[:80]!r}), and a checkpoint asks no"
            " hub",
            hint="write the backbone's own configuration into it as backbone_config",
        )


def _described(fields: Mapping[str, Any]) -> bool:
    return isinstance(fields.get("backbone_config"), Mapping)
