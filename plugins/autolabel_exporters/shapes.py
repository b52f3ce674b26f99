"""The shapes of an object in files of annotation tools: its mask, its outline, its box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from autolabel.strategies import Exporter
from autolabel.types.label_studio import rings_of
from autolabel_exporters.placing import Way
from autolabel_exporters.rows import ExportedObject

_Segmentation = Literal["masks", "polygons", "none"]
Ring = list[list[float]]
"""Corners ``x y`` in pixels, the first one not repeated."""


class ToolParams(Exporter.Params):
    """Parameters of formats for annotation tools."""

    segmentation: _Segmentation = Field("masks", description="how a mask is drawn: as pixels, as polygons, not at all")
    boxes: bool = Field(False, description="draw the box of an object beside its mask or polygons too")
    images: Way | None = Field(None, description="place the images: link, copy or upright (EXIF orientation applied)")


def drawn(item: ExportedObject, params: ToolParams) -> Iterator[Literal["mask", "box"] | Ring]:
    """Yield the shapes of an object: its mask or the mask's rings; its box if it has no mask or if boxes are requested.

    A mask becomes one ring per connected part, exact along pixel edges; holes are joined to the ring by zero-width
    cuts.
    """
    mask = item.mask if params.segmentation != "none" and item.mask is not None and item.mask.area() else None
    if mask is None or params.boxes:
        yield "box"
    if mask is not None and params.segmentation == "masks":
        yield "mask"
    elif mask is not None:
        yield from rings_of(mask.decode())
