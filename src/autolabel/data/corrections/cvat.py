"""CVAT's XML for images 1.1."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from xml.etree import ElementTree

import numpy as np

from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape
from autolabel.errors import DataError, Problem
from autolabel.types import Rle, Size

Element = ElementTree.Element


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type, which nobody needs here and which can define text without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse."""
        raise ValueError("a document type is not allowed")


def read_cvat(text: bytes, *, file: str) -> Corrections:
    """Return the images of an annotation file; raises DataError, with line and column, where it is none."""
    try:
        root = ElementTree.fromstring(text, ElementTree.XMLParser(target=_WithoutDoctype()))
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DataError(Problem(file=file, line=line, column=column + 1, message=f"not XML: {error}")) from error
    except ValueError as error:
        raise DataError(Problem(file=file, message=str(error))) from error
    if root.tag != "annotations":
        raise DataError(Problem(file=file, message=f"not CVAT's XML: its root is <{root.tag}>, not <annotations>"))
    if root.find("track") is not None:
        hint = "export the task as 'CVAT for images 1.1'"
        raise DataError(Problem(file=file, message="has the tracks of a video", hint=hint))
    images = [_image(one) for one in root.iter("image")]
    return Corrections(tool="CVAT", images=images)


def _image(element: Element) -> DrawnImage:
    name = element.get("name", "")
    size = _number(element, "height"), _number(element, "width")
    stated = (int(size[0]), int(size[1])) if size[0] and size[1] else None
    return DrawnImage(name=name, size=stated, shapes=list(_shapes(element, name)))


def _shapes(image: Element, name: str) -> Iterator[Shape]:
    for number, element in enumerate(image):
        group = element.get("group_id") or None
        about = {"phrase": element.get("label", ""), "group": None if group == "0" else group}
        place = f"shape {number}"
        if element.tag == "box":
            corners = [_pair(element, "xtl", "ytl"), _pair(element, "xbr", "ybr")]
            turned = _number(element, "rotation")
            yield Shape(kind="box", points=_turned(corners, turned), place=place, **about)  # type: ignore[arg-type]
        elif element.tag == "polygon":
            points = [_point(text) for text in element.get("points", "").split(";")]
            yield Shape(kind="polygon", points=points, place=place, **about)  # type: ignore[arg-type]
        elif element.tag == "mask":
            yield Shape(kind="mask", mask=partial(_mask, element), place=place, **about)  # type: ignore[arg-type]


def _turned(corners: list[tuple[float, float]], degrees: float) -> list[tuple[float, float]]:
    """Return the corners of a box that is turned about its middle."""
    if not degrees:
        return corners
    (x1, y1), (x2, y2) = corners
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    return [(float(x), float(y)) for x, y in (square - middle) @ turn.T + middle]


def _mask(element: Element, size: Size) -> Rle:
    """Return the mask of runs by rows, zeros first, in a part of the image."""
    left, top, width, height = (int(_number(element, name)) for name in ("left", "top", "width", "height"))
    try:
        runs = np.array([int(one) for one in element.get("rle", "").split(",")], np.int64)
    except ValueError:
        raise ValueError("the runs of a mask must be whole numbers") from None
    inside = left >= 0 and top >= 0 and 0 < width <= size[1] - left and 0 < height <= size[0] - top
    if not inside or (runs < 0).any() or int(runs.sum()) != width * height:
        raise ValueError("the runs of a mask do not fit its place in the image")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Rle.from_crop(flat.reshape(height, width), left=left, top=top, size=size)


def _number(element: Element, name: str) -> float:
    try:
        return float(element.get(name) or 0)
    except ValueError:
        return float("nan")


def _pair(element: Element, first: str, second: str) -> tuple[float, float]:
    return _number(element, first), _number(element, second)


def _point(text: str) -> tuple[float, float]:
    x, _, y = text.partition(",")
    try:
        return float(x), float(y)
    except ValueError:
        return float("nan"), float("nan")
