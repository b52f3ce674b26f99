"""Built-in looks: ways of looking at an image whose answers can be carried back exactly."""

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
