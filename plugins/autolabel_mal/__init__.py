"""Built-in labeler: Mask Auto-Labeler, from boxes to masks."""

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Labeler
from autolabel_mal.labeler import Mal


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Return the labeler of this package."""
    return [Mal]
