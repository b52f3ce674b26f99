"""The file layouts of COCO data sets that readers expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["annotations", "roboflow", "datumaro"]
_ROBOFLOW = {"": "train", "val": "valid"}
"""Roboflow's names for the parts of a split, which trainers adopted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Paths of one part, relative to the export's folder."""

    annotations: str
    images: str
    distinct_stems: bool = False
    """Whether two images may not share a name without its ending."""


def places(layout: Layout, part: str, path: str) -> _Places:
    """Return the paths of annotations and images of a part (empty if there is no split).

    ``path`` is the path of the annotations in layouts that do not fix it.
    """
    if layout == "roboflow":
        folder = _ROBOFLOW.get(part, part)
        return _Places(annotations=f"{folder}/_annotations.coco.json", images=folder)
    if layout == "datumaro":
        name = part or "default"
        return _Places(annotations=f"annotations/instances_{name}.json", images=f"images/{name}", distinct_stems=True)
    return _Places(annotations=f"{part}/{path}".lstrip("/"), images=f"{part}/images".lstrip("/"))
