"""LabelMe: one JSON file an image."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from PIL import Image as Pillow

from autolabel.data.corrections.shapes import DrawnImage, Shape
from autolabel.types import Rle, Size


def is_labelme(value: Any) -> bool:
    """Tell whether a JSON value looks like a file of LabelMe."""
    return isinstance(value, Mapping) and isinstance(value.get("shapes"), list) and "imagePath" in value


def labelme_image(value: Mapping[str, Any], *, folder: str) -> DrawnImage:
    """Return the image of a file that lies in ``folder``, a path relative to the folder that is read, maybe empty."""
    path = str(value.get("imagePath") or "").replace("\\", "/")
    height, width = value.get("imageHeight"), value.get("imageWidth")
    stated = (height, width) if isinstance(height, int) and isinstance(width, int) and height and width else None
    name = path if path.startswith(("/", "..")) or not folder else f"{folder}/{path}"
    return DrawnImage(name=name, size=stated, shapes=list(_shapes(value["shapes"])))


def _shapes(shapes: list[Any]) -> Iterator[Shape]:
    for number, one in enumerate(shapes):
        if not isinstance(one, Mapping) or not isinstance(one.get("label"), str):
            continue
        group = one.get("group_id")
        about = {"phrase": one["label"], "group": None if group is None else str(group), "place": f"/shapes/{number}"}
        points = [(float(x), float(y)) for x, y in one.get("points") or ()]
        kind = one.get("shape_type") or "polygon"
        if kind == "rectangle":
            yield Shape(kind="box", points=points, **about)
        elif kind == "polygon":
            yield Shape(kind="polygon", points=points, **about)
        elif kind == "circle" and len(points) == 2:
            (x, y), (edge_x, edge_y) = points
            reach = float(np.hypot(edge_x - x, edge_y - y))
            yield Shape(kind="polygon", points=_ring(x, y, reach), **about)
        elif kind == "mask":
            yield Shape(kind="mask", mask=partial(_mask, one.get("mask"), points), **about)


def _ring(x: float, y: float, reach: float) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return [(x + reach * float(np.cos(angle)), y + reach * float(np.sin(angle))) for angle in angles]


def _mask(text: Any, points: list[tuple[float, float]], size: Size) -> Rle:
    """Return the mask of a PNG whose first pixel lies at the first point."""
    if not isinstance(text, str) or not points:
        raise ValueError("a mask needs its PNG and its place")
    try:
        with Pillow.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            left, top = round(points[0][0]), round(points[0][1])
            if image.width > size[1] - left or image.height > size[0] - top or left < 0 or top < 0:
                raise ValueError("a mask reaches outside the image")
            mask = np.asarray(image.convert("L")) > 0
    except (binascii.Error, OSError, SyntaxError) as error:
        raise ValueError(f"a mask cannot be read: {error}") from error
    return Rle.from_crop(mask, left=left, top=top, size=size)
