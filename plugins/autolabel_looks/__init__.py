"""Built-in looks: image transforms whose results can be mapped back exactly."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Look
from autolabel_looks.brightness import Brighter, Darker
from autolabel_looks.symmetry import Flip, Mirror, Plain, Rotate
from autolabel_looks.zoom_out import ZoomOut


@hookimpl
def autolabel_looks() -> list[type[Look]]:
    """Return the built-in looks."""
    return [Plain, Mirror, Flip, Rotate, ZoomOut, Darker, Brighter]
