"""Unwrap the tensors of a checkpoint and their names from additions of training tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")

_NESTS = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
    "params_ema",
)
"""Keys under which a training tool puts the tensors; where several are there, the first counts."""
_WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.", "_module.")
"""Prefixes that torch.compile, FSDP, checkpointing and Lightning add to names, at any depth."""
_BEFORE = ("module.", "model.", "net.", "network.", "detector.", "model_ema.", "ema_model.", "ema.")
"""Prefixes of a whole network; removed if every tensor has them."""
_OWN = ("model.level_embed", "model.text_backbone.")
"""Names of transformers' Grounding DINO, which begins with ``model.`` itself."""
_DEEPEST = 4


def bare(state: Mapping[str, _T]) -> dict[str, _T]:
    """Return tensors under the network's own names, without compiler markers and common prefixes."""
    found = {_without_marks(key): value for key, value in state.items()}
    while (wrapper := _wrapper(found)) is not None:
        found = {key.removeprefix(wrapper): value for key, value in found.items()}
    return found


def _wrapper(state: Mapping[str, Any]) -> str | None:
    own = any(key.startswith(_OWN) for key in state)
    return next(
        (
            mark
            for mark in _BEFORE
            if state and not (own and mark == "model.") and all(key.startswith(mark) for key in state)
        ),
        None,
    )


def _without_marks(key: str) -> str:
    for mark in _WITHIN:
        key = key.replace(f".{mark}", ".").removeprefix(mark)
    return key


def innermost(content: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> Mapping[Any, Any]:
    """Return the nested mapping that holds tensors; the mapping itself if no known nest does."""
    for nest in _NESTS:
        inner = content.get(nest)
        if isinstance(inner, Mapping) and _holds(inner, is_tensor, _DEEPEST):
            return innermost(inner, is_tensor)
    return content


def unknown_nests(content: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> list[str]:
    """Return the keys of nested mappings with tensors that are not known nests."""
    return [
        str(key)[:60]
        for key, inner in content.items()
        if isinstance(inner, Mapping) and _holds(inner, is_tensor, _DEEPEST)
    ]


def _holds(content: Mapping[Any, Any], is_tensor: Callable[[Any], bool], deep: int) -> bool:
    return any(
        is_tensor(value) or (deep and isinstance(value, Mapping) and _holds(value, is_tensor, deep - 1))
        for value in content.values()
    )
