"""Examine this installation: versions, devices, checkpoints."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import autolabel
from autolabel import weights
from autolabel.plan import devices
from autolabel.registry import discover

_PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "pillow",
    "pydantic",
    "scikit-learn",
    "pycocotools",
    "numba",
    "simplejpeg",
    "ray",
)


def examine() -> dict[str, Any]:
    """Return facts worth sending with a question; nothing here identifies a person or a data set."""
    return {
        "autolabel": autolabel.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": devices.cores(),
        "devices": ", ".join(devices.resolve_devices("auto")),
        "checkpoints": ", ".join(weights.shipped()) or "none",
        "strategies": len(list(discover())),
        **{name: _installed(name) for name in _PACKAGES},
    }


def _installed(package: str) -> str:
    """Return a package's version, or that it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
