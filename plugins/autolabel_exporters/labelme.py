"""LabelMe: one JSON file an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels
from autolabel_exporters.json_stream import encode
from autolabel_exporters.mask_runs import Crop, crop
from autolabel_exporters.per_image import survey, walk
from autolabel_exporters.rows import Found

VERSION = "5.5.0"
"""The LabelMe release whose file format this is; masks came with 5.2."""


class Labelme(Exporter):
    """Boxes as rectangles, masks as mask shapes, with scores; the folders mirror those of the images."""

    name = "labelme"
    loses = ("boxes of objects with a mask", "rounds", "captions", "fields of input annotations")

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``labels/*.json``: copied over the images, each lies beside its own."""
        names, folder = survey(labels), out / "labels"
        folder.mkdir()
        for image, found in walk(labels):
            path = folder / names.name(image.id, ".json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(document(image, found)) + b"\n")
        return [folder]


def document(image: Image, found: Sequence[Found]) -> dict[str, Any]:
    """Return the record of one image; ``imagePath`` is its name, beside the file."""
    height, width = image.size
    return {
        "version": VERSION,
        "flags": {},
        "shapes": [shape(item) for item in found],
        "imagePath": image.id.rpartition("/")[2],
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def shape(item: Found) -> dict[str, Any]:
    """Return one object: its mask where it has one, else its box."""
    cut = crop(item.mask) if item.mask is not None else None
    own: dict[str, Any] = {"label": item.phrase, "group_id": None, "description": "", "flags": {}, "score": item.score}
    if cut is None:
        left, top, right, bottom = item.box
        return own | {"shape_type": "rectangle", "points": [[left, top], [right, bottom]], "mask": None}
    height, width = cut.mask.shape
    corners = [[cut.left, cut.top], [cut.left + width - 1, cut.top + height - 1]]
    return own | {"shape_type": "mask", "points": corners, "mask": png(cut)}


def png(cut: Crop) -> str:
    """Return the covered part of a mask as a base64 PNG, 255 inside."""
    buffer = io.BytesIO()
    Pillow.fromarray(cut.mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
