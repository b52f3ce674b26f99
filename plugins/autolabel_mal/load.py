"""Build MAL's networks from a checkpoint file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from autolabel.errors import WeightsError
from autolabel.weights import load_state_dict, refuse_not_finite
from autolabel_mal.choose import choose_networks
from autolabel_mal.convert import without_classifier
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import Sizes, from_arch, name

if TYPE_CHECKING:
    from autolabel_mal.params import MalParams

_logger = logging.getLogger(__name__)
_LISTED = 5


def load_networks(path: Path, params: MalParams) -> list[MalNetwork]:
    """Return the requested networks (student, teacher, or both) on the CPU, in evaluation mode.

    Sizes come from the file; a warning is logged if ``params`` differs. Raises WeightsError, naming missing and
    unexpected keys, if the file does not hold such a network.
    """
    chosen = choose_networks(path, load_state_dict(path), params)
    _warn_of_differences(path, chosen[0][1], params)
    return [_build(path, state, size) for state, size in chosen]


def _build(path: Path, state: Mapping[str, Tensor], sizes: Sizes) -> MalNetwork:
    """Return a network of these sizes with a file's tensors, its position table resized to the crop."""
    network = MalNetwork(sizes)
    wanted, given = network.state_dict(), without_classifier(state)
    faults = {
        "missing": [key for key in wanted if key not in given],
        "too many": [key for key in given if key not in wanted],
        "of another shape": [key for key in wanted if key in given and wanted[key].shape != given[key].shape],
    }
    if any(faults.values()):
        parts = "; ".join(f"{kind}: {_listed(keys)}" for kind, keys in faults.items() if keys)
        raise WeightsError(
            f"{path}: does not fit: {parts}", hint=f"its tensors look like {name(sizes) or _shape_of(sizes)}"
        )
    refuse_not_finite(given, path)
    network.load_state_dict({key: tensor.float() for key, tensor in given.items()})
    network.settle()
    return network.eval().requires_grad_(False)


def _listed(keys: Sequence[str]) -> str:
    """Return the first few keys and how many more there are."""
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + more


def _shape_of(sizes: Sizes) -> str:
    """Describe a transformer's sizes in words."""
    return f"a transformer of {sizes.depth} blocks, {sizes.width} channels, {sizes.patch} px patches"


def _warn_of_differences(path: Path, sizes: Sizes, params: MalParams) -> None:
    """Warn about values in ``params`` that differ from the file; the file's are used."""
    heads = {
        "mask_head_num_convs": sizes.convs,
        "mask_head_hidden_channel": sizes.hidden,
        "mask_head_out_channel": sizes.out,
    }
    for field, actual in heads.items():
        stated = getattr(params, field)
        if stated not in (None, actual):
            _logger.warning("%s has %s: %d, not %d as the spec says; the file counts", path, field, actual, stated)
    if params.arch is None or name(sizes) == params.arch:
        return
    named = from_arch(params.arch)
    if sizes.lite or (named.width, named.depth, named.patch) != (sizes.width, sizes.depth, sizes.patch):
        actual_arch = name(sizes) or _shape_of(sizes)
        _logger.warning("%s is %s, not %s as the spec says; the file counts", path, actual_arch, params.arch)
