"""Build one of transformers' models from a configuration and tensors, every tensor accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autolabel.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 5
IDLE = ("swin.layernorm.", "relative_position_index", "position_ids")
"""Parts that transformers builds and no model here ever runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One of transformers' architectures, by the names of its classes."""

    title: str
    """What messages call it: ``a Grounding DINO``."""
    configuration: str
    model: str


def build(
    architecture: Architecture,
    fields: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    path: Path,
    idle: Sequence[str] = (),
) -> Any:
    """Return a model of a configuration, holding every tensor of ``state`` in float32, for inference.

    Raises WeightsError where a tensor is missing, unknown, or of another shape; names that contain one of ``idle``, or
    of IDLE, are passed over.
    """
    import transformers

    plain = {key: value for key, value in fields.items() if key not in ("auto_map", "dtype", "torch_dtype")}
    try:
        config = getattr(transformers, architecture.configuration).from_dict(plain)
        with _silence():
            loaded: Any = getattr(transformers, architecture.model).from_pretrained(
                None,
                config=config,
                state_dict=dict(state),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: does not fit {architecture.title}: {str(error).strip()[:500]}") from error
    model, report = loaded
    _check(report, path, architecture, (*IDLE, *idle))
    return model.eval().requires_grad_(False)


def _check(report: Mapping[str, Any], path: Path, architecture: Architecture, idle: Sequence[str]) -> None:
    groups = {
        "missing": report["missing_keys"],
        "unknown": report["unexpected_keys"],
        "of another shape": report["mismatched_keys"],
    }
    wrong = {name: _names(keys, idle) for name, keys in groups.items()}
    if any(wrong.values()):
        found = "; ".join(f"{len(keys)} {name}: {_listed(keys)}" for name, keys in wrong.items() if keys)
        raise WeightsError(f"{path}: does not fit {architecture.title}: {found}")


def _names(keys: Sequence[Any], idle: Sequence[str]) -> list[str]:
    names = (key if isinstance(key, str) else f"{key[0]} {tuple(key[1])} for {tuple(key[2])}" for key in keys)
    return sorted(name for name in names if not any(part in name for part in idle))


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep transformers' progress bar and load report off the terminal: what is wrong is raised instead."""
    from transformers.utils import logging as untyped

    logging: Any = untyped

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
