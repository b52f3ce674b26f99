"""FiftyOne: a model, an operator, and conversion of runs to data sets and back. This folder is a FiftyOne plugin."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autolabel.integrations.fiftyone.datasets import from_fiftyone, samples_of, to_fiftyone
    from autolabel.integrations.fiftyone.detections import to_detections
    from autolabel.integrations.fiftyone.model import Model
    from autolabel.integrations.fiftyone.operator import LabelWithAutolabel

__all__ = ["LabelWithAutolabel", "Model", "from_fiftyone", "register", "samples_of", "to_detections", "to_fiftyone"]
_HOME = "autolabel.integrations.fiftyone"
_HOMES = {
    "LabelWithAutolabel": "operator",
    "Model": "model",
    "from_fiftyone": "datasets",
    "samples_of": "datasets",
    "to_detections": "detections",
    "to_fiftyone": "datasets",
}


def __getattr__(name: str) -> Any:
    """Import a part on first use; the operator needs more of FiftyOne than a data set."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{_HOME}.{_HOMES[name]}"), name)


def register(plugin: Any) -> None:
    """Register the operator; called by FiftyOne."""
    plugin.register(__getattr__("LabelWithAutolabel"))
