"""Shapes drawn in other tools, and the objects that they form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from autolabel.errors import Problem
from autolabel.types import Rle, Size

_Kind = Literal["box", "polygon", "mask"]
_Unit = Literal["pixel", "share", "percent"]
_MOST_COORDINATE = 1_000_000
_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One shape. ``points`` are corners ``x y``: two or more of a box, the ring of a polygon, none of a mask."""

    phrase: str
    kind: _Kind
    points: Sequence[tuple[float, float]] = ()
    unit: _Unit = "pixel"
    mask: Callable[[Size], Rle] | None = None
    """Makes the mask for an image of a size; raises ValueError if it does not fit."""
    group: str | None = None
    """Shapes of one group and class are one object."""
    place: str = ""
    """The position of the shape in its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnImage:
    """An image in a tool's export."""

    name: str
    size: Size | None
    """(height, width), None if the file does not say."""
    shapes: Sequence[Shape]
    unread: Sequence[str] = ()
    """A sentence for each thing in the image that cannot be read: the image is not wholly known then."""
    crowds: int = 0
    """Regions in which objects are not boxed one by one: the image is not wholly known either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnObject:
    """One object of an image: a box in pixels, and a mask where the tool has one."""

    phrase: str
    box: _Box
    boxed: bool
    """Whether a box was drawn; else it is the bounds of what was."""
    mask: Rle | None


@dataclass(slots=True, kw_only=True)
class Corrections:
    """The export of another tool."""

    tool: str
    images: list[DrawnImage]
    endings: bool = True
    """Whether names of images have their extensions."""
    notes: list[str] = field(default_factory=list)
    """Notes on parts that were left out."""
    problems: list[Problem] = field(default_factory=list)
    """Faults that may concern any image: with one, no image counts as completely read."""

    @property
    def masked(self) -> bool:
        """Whether the export has any masks; if not, a missing mask does not mean that a mask was deleted."""
        return any(shape.kind != "box" for image in self.images for shape in image.shapes)


def ring(middle: tuple[float, float], reach: tuple[float, float], *, degrees: float = 0.0) -> list[tuple[float, float]]:
    """Return corners on an ellipse with two radii, rotated about its centre; none if a number is not finite."""
    (x, y), (wide, high) = middle, reach
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    turn = np.radians(degrees)
    if not np.isfinite([x, y, wide, high, degrees]).all():
        return []
    across, down = wide * np.cos(angles), high * np.sin(angles)
    columns = x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn)
    return list(zip(columns[0].tolist(), columns[1].tolist(), strict=True))


def objects(image: DrawnImage, size: Size) -> tuple[list[DrawnObject], list[str]]:
    """Return the objects of an image of ``size`` (height, width), and a message for each unusable one."""
    found: list[DrawnObject] = []
    faults = [f"{image.name}: {one}" for one in image.unread]
    for shapes in _grouped(image.shapes):
        try:
            made = _object(shapes, size)
        except (ValueError, ArithmeticError) as error:
            faults.append(f"{image.name}: {shapes[0].phrase}{shapes[0].place and f' at {shapes[0].place}'}: {error}")
        else:
            found += [made] if made is not None else []
    return found, faults


def _grouped(shapes: Sequence[Shape]) -> Iterator[list[Shape]]:
    groups: dict[tuple[str, str] | int, list[Shape]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(number if shape.group is None else (shape.group, shape.phrase), []).append(shape)
    return iter(groups.values())


def _object(shapes: Sequence[Shape], size: Size) -> DrawnObject | None:
    """Return the object formed by shapes, None if it lies outside the image."""
    boxes = [_bounds(shape, size) for shape in shapes if shape.kind == "box"]
    rings = [_bounds(shape, size) for shape in shapes if shape.kind == "polygon"]
    masks = [_mask(shape, size) for shape in shapes if shape.kind != "box"]
    mask = _union(masks, size) if masks else None
    if boxes:
        box = boxes[0]
    elif rings and len(rings) == len(masks):
        box = _hull(rings)
    else:
        assert mask is not None
        left, top, right, bottom = mask.bounds()
        box = (float(left), float(top), float(right), float(bottom))
    box = _inside(box, size)
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    return DrawnObject(
        phrase=shapes[0].phrase, box=box, boxed=bool(boxes), mask=mask if mask is not None and mask.area() else None
    )


def _points(shape: Shape, size: Size) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    height, width = size
    scale = {"pixel": (1.0, 1.0), "share": (width, height), "percent": (width / 100, height / 100)}[shape.unit]
    points = np.asarray(shape.points, np.float64).reshape(-1, 2)
    if not len(points) or not np.isfinite(points).all():
        raise ValueError("its corners are not finite numbers")
    if (np.abs(points) > _MOST_COORDINATE).any() or (np.abs(points * scale) > _MOST_COORDINATE).any():
        raise ValueError(f"has corners more than {_MOST_COORDINATE:,} pixels away")
    points *= scale
    return points


def _bounds(shape: Shape, size: Size) -> _Box:
    points = _points(shape, size)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def _mask(shape: Shape, size: Size) -> Rle:
    if shape.mask is not None:
        return shape.mask(size)
    points = _points(shape, size)
    if len(points) < 3:
        raise ValueError("a polygon needs three corners")
    return Rle.from_coco([points.reshape(-1).tolist()], size)


def _union(masks: Sequence[Rle], size: Size) -> Rle:
    if len(masks) == 1:
        return masks[0]
    whole = np.zeros(size, bool)
    for mask in masks:
        whole |= mask.decode()
    return Rle.encode(whole)


def _hull(boxes: Sequence[_Box]) -> _Box:
    columns = np.asarray(boxes)
    left, top = columns[:, :2].min(axis=0).tolist()
    right, bottom = columns[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def _inside(box: _Box, size: Size) -> _Box:
    height, width = size
    x1, y1, x2, y2 = (
        round(min(max(value, 0.0), float(most)), 3)
        for value, most in zip(box, (width, height, width, height), strict=True)
    )
    return x1, y1, x2, y2
