"""CVAT's XML for images 1.1."""

from __future__ import annotations

from functools import partial
from xml.etree import ElementTree

import numpy as np

from autolabel import safe_xml
from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape, ring
from autolabel.errors import DataError, Problem
from autolabel.types import Rle, Size

_Element = ElementTree.Element
_READ = ("box", "polygon", "ellipse", "mask")
_MOST_PIXELS = 1 << 31
"""The most pixels of a side."""
_ABOUT_THE_IMAGE = ("tag", "attribute")
"""Elements of an image that are no shapes."""


def read_cvat(text: bytes, *, file: str) -> Corrections:
    """Return the images of an annotation file; raises DataError, with line and column, if it is invalid."""
    try:
        root = safe_xml.parse(text)
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataError(Problem(file=file, line=line, column=column + 1, message=f"not XML: {error}")) from error
    except (ValueError, LookupError) as error:
        raise DataError(Problem(file=file, message=f"not XML that can be read: {error}")) from error
    if root.tag != "annotations":
        raise DataError(Problem(file=file, message=f"not CVAT's XML: its root is <{root.tag}>, not <annotations>"))
    if root.find("track") is not None:
        hint = "export the task as 'CVAT for images 1.1'"
        raise DataError(Problem(file=file, message="contains video tracks", hint=hint))
    images = [_image(one) for one in root.iter("image")]
    return Corrections(tool="CVAT", images=images)


def _image(element: _Element) -> DrawnImage:
    name = element.get("name", "")
    shapes: list[Shape] = []
    unread: list[str] = []
    size = None
    try:
        height, width = _whole(element, "height"), _whole(element, "width")
        size = (height, width) if height > 0 and width > 0 else None
    except ValueError as error:
        unread.append(f"the size of the image cannot be read: {error}")
    for number, one in enumerate(element):
        shape = _shape(one, place=f"shape {number}")
        if shape is not None:
            shapes.append(shape)
        elif one.tag not in _ABOUT_THE_IMAGE:
            label = one.get("label", "")[:80]
            unread.append(f"{label} at shape {number}: <{str(one.tag)[:80]}> cannot be read, only {', '.join(_READ)}")
    return DrawnImage(name=name, size=size, shapes=shapes, unread=unread)


def _shape(element: _Element, *, place: str) -> Shape | None:
    """Return the shape of an element, None for kinds that are not read."""
    group = element.get("group_id")
    make = partial(Shape, phrase=element.get("label", ""), group=None if group in ("", "0") else group, place=place)
    if element.tag == "box":
        corners = [_pair(element, "xtl", "ytl"), _pair(element, "xbr", "ybr")]
        return make(kind="box", points=_turned(corners, _number(element, "rotation", otherwise="0")))
    if element.tag == "polygon":
        return make(kind="polygon", points=[_point(text) for text in element.get("points", "").split(";")])
    if element.tag == "ellipse":
        turned = _number(element, "rotation", otherwise="0")
        return make(kind="polygon", points=ring(_pair(element, "cx", "cy"), _pair(element, "rx", "ry"), degrees=turned))
    if element.tag == "mask":
        return make(kind="mask", mask=partial(_mask, element))
    return None


def _turned(corners: list[tuple[float, float]], degrees: float) -> list[tuple[float, float]]:
    """Return the corners of a box that is rotated about its centre."""
    if not degrees or not np.isfinite([degrees, *corners[0], *corners[1]]).all():
        return corners if np.isfinite(degrees) else []
    (x1, y1), (x2, y2) = corners
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    return [(float(x), float(y)) for x, y in (square - middle) @ turn.T + middle]


def _mask(element: _Element, size: Size) -> Rle:
    """Return the mask of row-major runs, zeros first, in a part of the image."""
    left, top, width, height = (_whole(element, name) for name in ("left", "top", "width", "height"))
    try:
        runs = [int(one) for one in element.get("rle", "").split(",")]
    except ValueError:
        raise ValueError("the runs of a mask must be whole numbers") from None
    inside = left >= 0 and top >= 0 and 0 < width <= size[1] - left and 0 < height <= size[0] - top
    if not inside or min(runs) < 0 or sum(runs) != width * height:  # Python integers, which do not overflow
        raise ValueError("the runs of a mask do not fit its place in the image")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Rle.from_crop(flat.reshape(height, width), left=left, top=top, size=size)


def _number(element: _Element, name: str, *, otherwise: str = "nan") -> float:
    try:
        return float(element.get(name) or otherwise)
    except ValueError:
        return float("nan")


def _whole(element: _Element, name: str) -> int:
    """Return a number of pixels, 0 if missing; raises ValueError if it is invalid."""
    number = _number(element, name, otherwise="0")
    if not abs(number) < _MOST_PIXELS:
        raise ValueError(f"{name} is {element.get(name, '')[:40]!r}, wanted a number of pixels")
    return int(number)


def _pair(element: _Element, first: str, second: str) -> tuple[float, float]:
    return _number(element, first), _number(element, second)


def _point(text: str) -> tuple[float, float]:
    x, _, y = text.partition(",")
    try:
        return float(x), float(y)
    except ValueError:
        return float("nan"), float("nan")
