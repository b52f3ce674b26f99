"""A small random MAL network in a file of this project's own format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import Sizes

SMALL = Sizes(width=64, depth=2, patch=16, hidden=16, out=8, crop=96, nvlabs=True)


@pytest.fixture(scope="session")
def network() -> MalNetwork:
    """Return a network whose logits are far from constant, with random weights."""
    torch.manual_seed(3)
    network = MalNetwork(SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1 and "norm" not in name:
                parameter.normal_(0, 0.12)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a state dict as safetensors with metadata, or as a pickle by its suffix."""

    def write(state: dict[str, Any], name: str = "mal.safetensors", **metadata: str) -> Path:
        path = tmp_path_factory.mktemp("mal") / name
        if path.suffix == ".safetensors":
            save_file({key: value.clone().contiguous() for key, value in state.items()}, path, metadata=metadata)
        else:
            torch.save(state, path)
        return path

    return write


@pytest.fixture(scope="session")
def checkpoint(network: MalNetwork, save: Callable[..., Path]) -> Path:
    """Return the small network's file."""
    return save(network.state_dict(), crop_size=str(SMALL.crop), license="apache-2.0")
