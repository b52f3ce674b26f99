"""Build one of transformers' models from a configuration and tensors, checking every tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autolabel.errors import WeightsError
from autolabel.weights import offline, panics_as_errors, plain_configuration, refuse_not_finite

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 5
_SLACK = 50_000_000
"""Numbers that a small file's network may have more than four times the file's."""
_IDLE = ("swin.layernorm.", "relative_position_index", "position_ids")
"""Parts that transformers builds and no model here ever runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One of transformers' architectures, by the names of its classes."""

    title: str
    """The name in messages: ``a Grounding DINO``."""
    configuration: str
    model: str


def build_model(
    architecture: Architecture,
    fields: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    path: Path,
    idle: Sequence[str] = (),
    timm: bool = False,
) -> Any:
    """Return a model of a configuration, holding every tensor of ``state`` in float32, for inference.

    The configuration can neither access the network nor import other packages. Raises WeightsError if a tensor is
    missing, unknown, of another shape, or not finite; names containing one of ``idle`` or IDLE are ignored.
    """
    import transformers

    plain = plain_configuration(fields, path, timm=timm)
    try:
        with offline(), silence(), panics_as_errors():
            config = getattr(transformers, architecture.configuration).from_dict(plain)
            _check_extent(architecture, config, state, path)
            loaded: Any = getattr(transformers, architecture.model).from_pretrained(
                None,
                config=config,
                state_dict=dict(state),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except WeightsError:
        raise
    except Exception as error:  # an untrusted configuration can make transformers or timm raise anything
        reason = str(error).strip()[:500] or type(error).__name__
        raise WeightsError(f"{path}: does not fit {architecture.title}: {reason}") from error
    model, report = loaded
    _check(report, path, architecture, (*_IDLE, *idle))
    refuse_not_finite({name: tensor for name, tensor in state.items() if not any(part in name for part in idle)}, path)
    return model.eval().requires_grad_(False)


def _check_extent(architecture: Architecture, config: Any, state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a configuration of a network far larger than its file, before memory for it is allocated."""
    import transformers

    with torch.device("meta"):
        model = getattr(transformers, architecture.model)(config)
    wanted, held = (sum(t.numel() for t in tensors) for tensors in (model.parameters(), state.values()))
    if wanted > 4 * held + _SLACK:
        raise WeightsError(
            f"{path}: does not fit {architecture.title}: config.json describes a network of {wanted:,} numbers, the"
            f" file holds {held:,}"
        )


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
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


@contextmanager
def silence() -> Iterator[None]:
    """Suppress transformers' progress bar and load report; problems are raised instead."""
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
