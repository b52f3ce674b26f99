"""LabelMe: one JSON file per image."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from PIL import Image as Pillow

from autolabel.data.corrections.shapes import DrawnImage, Shape, ring
from autolabel.types import Rle, Size

_READ = ("rectangle", "polygon", "circle", "mask")
_TWO = ("rectangle", "circle")
"""Shapes of two points."""
_BROKEN = (binascii.Error, OSError, SyntaxError, EOFError, struct.error, zlib.error, Pillow.DecompressionBombError)
"""Exceptions for a damaged PNG, besides ValueError."""


def is_labelme(value: Any) -> bool:
    """Return whether a JSON value looks like a file of LabelMe."""
    return isinstance(value, Mapping) and isinstance(value.get("shapes"), list) and "imagePath" in value


def labelme_image(value: Mapping[str, Any], *, folder: str) -> DrawnImage:
    """Return the image of a file in ``folder``, a path relative to the folder that is read, possibly empty."""
    path = str(value.get("imagePath") or "").replace("\\", "/")
    height, width = value.get("imageHeight"), value.get("imageWidth")
    stated = (
        (height, width) if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0 else None
    )
    name = path if path.startswith(("/", "..")) or not folder else f"{folder}/{path}"
    shapes: list[Shape] = []
    unread: list[str] = []
    for number, one in enumerate(value["shapes"]):
        try:
            shapes.append(_shape(one, place=f"/shapes/{number}"))
        except (TypeError, ValueError, ArithmeticError) as error:
            label = one.get("label") if isinstance(one, Mapping) else None
            unread.append(f"{label if isinstance(label, str) else 'a shape'} at /shapes/{number}: {error}")
    return DrawnImage(name=name, size=stated, shapes=shapes, unread=unread)


def _shape(one: Any, *, place: str) -> Shape:
    """Return a shape; raises ValueError for unsupported kinds."""
    if not isinstance(one, Mapping):
        raise ValueError("is not a shape")
    label, group = one.get("label"), one.get("group_id")
    if not isinstance(label, str):
        raise ValueError(f"its label is {str(label)[:40]}, wanted a text in quotes")
    make = partial(Shape, phrase=label, group=None if group is None else str(group), place=place)
    kind = one.get("shape_type") or "polygon"
    if kind not in _READ:
        raise ValueError(f"a shape of type {str(kind)[:40]!r} cannot be read, only {', '.join(_READ)}")
    points = _points(one.get("points"))
    if kind in _TWO and len(points) != 2:
        raise ValueError(f"a {kind} needs two points, has {len(points)}")
    if kind == "rectangle":
        return make(kind="box", points=points)
    if kind == "circle":
        reach = float(np.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1]))
        return make(kind="polygon", points=ring(points[0], (reach, reach)))
    if kind == "mask":
        return make(kind="mask", mask=partial(_mask, one.get("mask"), points))
    return make(kind="polygon", points=points)


def _points(said: Any) -> list[tuple[float, float]]:
    if not isinstance(said, list) or not all(isinstance(one, list) and len(one) == 2 for one in said):
        raise ValueError("its points must be a list of pairs")
    points = [(float(x), float(y)) for x, y in said]
    if not np.isfinite(np.asarray(points)).all():
        raise ValueError("its points must be finite numbers")
    return points


def _mask(text: Any, points: list[tuple[float, float]], size: Size) -> Rle:
    """Return the mask of a PNG whose top-left pixel is at the first point."""
    if not isinstance(text, str) or not points:
        raise ValueError("a mask needs a PNG and a point")
    try:
        with Pillow.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            left, top = round(points[0][0]), round(points[0][1])
            if image.width > size[1] - left or image.height > size[0] - top or left < 0 or top < 0:
                raise ValueError("a mask reaches outside the image")
            mask = np.asarray(image.convert("L")) > 0
    except _BROKEN as error:
        raise ValueError(f"a mask cannot be read: {error}") from error
    return Rle.from_crop(mask, left=left, top=top, size=size)
