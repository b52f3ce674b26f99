"""LabelMe: one JSON file per image."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image as Pillow

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels
from autolabel_exporters.json_stream import to_json
from autolabel_exporters.mask_runs import Crop, crop
from autolabel_exporters.per_image import labelled_images, survey
from autolabel_exporters.placing import Placing, beside
from autolabel_exporters.rows import ExportedObject
from autolabel_exporters.shapes import Ring, ToolParams, drawn

_VERSION = "5.5.0"
"""The LabelMe release whose file format this is; masks came with 5.2."""


class Labelme(Exporter):
    """Boxes as rectangles, masks as mask shapes, with scores; the folders mirror the image folders."""

    name = "labelme"
    loses = ("boxes of objects with a mask unless boxes=true", "rounds", "captions", "fields of input annotations")

    class Params(ToolParams):
        """The shapes written for an object (they share a ``group_id``), and how images are placed beside the labels."""

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``labels/*.json``; copied onto the image folder, each file lies beside its image."""
        names, folder = survey(labels), out / "labels"
        folder.mkdir()
        placing = Placing(self.params.images, folder)
        for image, found in labelled_images(labels):
            name = names.name(image.id, ".json")
            path, own = folder / name, beside(name, image) if placing.way else image.id
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_json(_document(image, own, found, self.params)) + b"\n")
            placing.put(image, own)
        placing.done()
        return [folder]


def _document(image: Image, name: str, found: Sequence[ExportedObject], params: ToolParams) -> dict[str, Any]:
    """Return the record of one image; ``imagePath`` is its file name without folders."""
    height, width = image.size
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": [one for group, item in enumerate(found, 1) for one in _shapes(group, item, params)],
        "imagePath": name.rpartition("/")[2],
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _shapes(group: int, item: ExportedObject, params: ToolParams) -> list[dict[str, Any]]:
    """Return the shapes of an object; several shapes form a group."""
    kinds = list(drawn(item, params))
    own: dict[str, Any] = {
        "label": item.phrase,
        "group_id": group if len(kinds) > 1 else None,
        "description": item.expression or "",
        "flags": {},
        "score": item.score,
        **({} if item.verdict is None else {"verdict": item.verdict}),
    }
    return [own | _shape(item, one) for one in kinds]


def _shape(item: ExportedObject, one: Literal["mask", "box"] | Ring) -> dict[str, Any]:
    """Return the type and the coordinates of a shape."""
    if one == "box":
        left, top, right, bottom = item.box
        return {"shape_type": "rectangle", "points": [[left, top], [right, bottom]], "mask": None}
    if not isinstance(one, str):
        return {"shape_type": "polygon", "points": one, "mask": None}
    assert item.mask is not None
    cut = crop(item.mask)
    assert cut is not None
    height, width = cut.mask.shape
    corners = [[cut.left, cut.top], [cut.left + width - 1, cut.top + height - 1]]
    return {"shape_type": "mask", "points": corners, "mask": _png(cut)}


def _png(cut: Crop) -> str:
    """Return the mask cropped to its bounding box as a base64 PNG, 255 inside."""
    buffer = io.BytesIO()
    Pillow.fromarray(cut.mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
