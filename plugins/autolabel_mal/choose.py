"""Choose a checkpoint's networks and read their sizes from tensor shapes, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from autolabel.errors import WeightsError
from autolabel.weights import TensorHeader, check_alike, headers_of, layers_of
from autolabel_mal.convert import Role, has_classifier, split_tensors, without_classifier
from autolabel_mal.description import describe
from autolabel_mal.sizes import ARCHS, Arch, Sizes, from_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from autolabel_mal.params import MalParams

_T = TypeVar("_T", "Tensor", TensorHeader)
_FAN_MARKS = ("pos_embed.token_projection", "cls_attn_blocks", "linear_fuse")
_DETECTOR_MARKS = ("level_embed", "tgt_embed.weight", "query_position_embeddings.weight")
_BLOCKS = "backbone.blocks."


def check_networks(path: Path, params: MalParams) -> None:
    """Raise WeightsError unless a file's headers match the requested networks."""
    if (headers := headers_of(path)) is None:
        return
    for state, _ in choose_networks(path, headers, params):
        check_alike(layers_of(without_classifier(state), _BLOCKS), _BLOCKS, path, "a MAL")


def choose_networks(path: Path, state: Mapping[str, _T], params: MalParams) -> list[tuple[dict[str, _T], Sizes]]:
    """Return the networks that ``params`` asks for, student, teacher or both, with their sizes.

    Raises WeightsError if the file has no such network.
    """
    found = split_tensors(state)
    roles: Sequence[Role] = ("student", "teacher") if params.which == "mixed" else (params.which,)
    missing = [role for role in roles if role not in found]
    if missing:
        raise WeightsError(f"{path}: holds no {missing[0]}, only one network", hint="set which: student")
    return [(found[role], _choose_sizes(path, found[role], params)) for role in roles]


def _choose_sizes(path: Path, state: Mapping[str, _T], params: MalParams) -> Sizes:
    """Return the sizes of a file's network; sizes that shapes do not determine come from ``params``."""
    if any(mark in key for key in state for mark in _FAN_MARKS):
        raise WeightsError(f"{path}: has a FAN backbone, which is not supported", hint=f"supported: {', '.join(ARCHS)}")
    if any(key.endswith(_DETECTOR_MARKS) for key in state):
        raise WeightsError(
            f"{path}: a detector, which finds boxes by itself", hint="use the labeler grounding_dino; mal takes boxes"
        )
    try:
        sizes = from_shapes({key: tensor.shape for key, tensor in state.items()}, has_classifier=has_classifier(state))
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(
            f"{path}: holds no MAL network: {error.args[0]} is missing", hint=_expected(params.arch)
        ) from None
    own = describe(path)
    return replace(
        sizes,
        crop=params.crop_size or own.crop_size or sizes.crop,
        scale_before=params.mask_scale_ratio_pre,
        scale_within=params.mask_scale_ratio,
        adjust=not params.not_adjust_scale,
    )


def _expected(arch: Arch | None) -> str:
    return (
        f"expected a checkpoint of {arch or 'one of ' + ', '.join(ARCHS)}: TAO's .pth, NVlabs' .ckpt, or .safetensors"
    )
