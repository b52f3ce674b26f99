"""Write a trained mask network as a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import name

_WEIGHTS_FILE = "model.safetensors"


def export(network: MalNetwork, folder: Path, *, licence: str) -> None:
    """Write weights (float16; metadata holds the settings that shapes do not show) and config.json to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "mal", "arch": name(network.sizes), "crop_size": network.sizes.crop, "license": licence}
    metadata = {"format": "pt", **{key: str(value) for key, value in config.items()}}
    tensors = {key: value.detach().half().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS_FILE, metadata=metadata)
    (folder / _WEIGHTS_FILE).chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
