"""Examine this installation, and the endpoints that a spec names."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import autolabel
from autolabel import weights
from autolabel.errors import SpecError
from autolabel.plan import devices, machine
from autolabel.registry import discover
from autolabel.spec.load import load_spec
from autolabel.strategies import Finding

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
    """Return facts to send with a question; none identifies a person or a data set."""
    return {
        "autolabel": autolabel.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": machine.cores(),
        "devices": ", ".join(devices.resolve_devices("auto")),
        "checkpoints": ", ".join(weights.shipped()) or "none",
        "strategies": len(list(discover())),
        **{name: _installed(name) for name in _PACKAGES},
    }


def examine_endpoints(path: str) -> dict[str, Sequence[Finding]]:
    """Return the findings about each labeler that asks an endpoint, by its place in the spec.

    Raises SpecError if no labeler asks an endpoint, EndpointError if an endpoint is not reached.
    """
    spec = load_spec(path, registry=discover())
    found: dict[str, Sequence[Finding]] = {}
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            labeler = choice.make()
            if labeler.sends_to():
                place = f"labelers[{member}]" if stage.labelers else "labeler"
                found[f"stages[{index}].{place}: {choice.name}"] = labeler.examine()
    captioner = spec.captioner()
    if captioner is not None and captioner.sends_to():
        found[f"data.captions.labeler: {captioner.name}"] = captioner.examine()
    if not found:
        raise SpecError(f"{path}: none of its labelers asks an endpoint", hint="`vlm` and `verify` do")
    return found


def _installed(package: str) -> str:
    """Return a package's version, or that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
