"""Label image data sets from a short spec.

The four steps, as the command line takes them::

    registry = discover()
    spec = load_spec("spec.yaml", registry=registry)
    compiled = compile_plan(spec, registry=registry)
    summary = generate(compiled, registry=registry)
    for labels in read_labels(summary.results_dir): ...

With a finished run: ``evaluate``, ``calibrate``, ``export``, ``report``, ``apply_review``, ``improve``,
``explain``. One image at a time, with the labelers loaded once::

    with autolabel.open("spec.yaml") as predictor:
        labels = predictor.predict("photo.jpg")

Nothing here changes global state of the calling process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autolabel.api import apply_review, calibrate, evaluate, explain, export, improve, report
    from autolabel.plan.compile import compile_plan
    from autolabel.predict.opening import open_predictor as open
    from autolabel.registry import discover
    from autolabel.results.ledger import read_labels
    from autolabel.run.generate import generate
    from autolabel.spec.load import load_spec

__version__ = "0.1.0"
__all__ = [
    "apply_review",
    "calibrate",
    "compile_plan",
    "discover",
    "evaluate",
    "explain",
    "export",
    "generate",
    "improve",
    "load_spec",
    "open",
    "read_labels",
    "report",
]

_HOMES = {
    "compile_plan": "autolabel.plan.compile",
    "discover": "autolabel.registry",
    "generate": "autolabel.run.generate",
    "load_spec": "autolabel.spec.load",
    "open": "autolabel.predict.opening",
    "read_labels": "autolabel.results.ledger",
    **dict.fromkeys(
        ("apply_review", "calibrate", "evaluate", "explain", "export", "improve", "report"), "autolabel.api"
    ),
}
_NAMES = {"open": "open_predictor"}
"""Names that differ in their own module."""


def __getattr__(name: str) -> Any:
    """Import a function of the API on first use, so that ``import autolabel`` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), _NAMES.get(name, name))


def __dir__() -> list[str]:
    """Return the names of the API."""
    return sorted([*__all__, "__version__", "__doc__"])
