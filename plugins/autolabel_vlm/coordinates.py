"""The coordinate conventions of boxes, and their exact conversion to pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from autolabel.types import Size

if TYPE_CHECKING:
    import numpy.typing as npt

Coordinates = Literal["pixels", "unit_1000", "unit_999", "unit_1"]
Axes = Literal["xyxy", "yxyx"]
_SLACK = 0.02
"""The share of the range by which a number may exceed it."""
_FARTHEST = 1e9
"""Numbers are cut to this before they become float32; it is beyond every range."""


def ends(coordinates: Coordinates, sent: Size) -> tuple[float, float]:
    """Return the coordinates of the right and bottom edge of an image sent in (height, width) ``sent``."""
    match coordinates:
        case "pixels":
            return float(sent[1]), float(sent[0])
        case "unit_1000":
            return 1000.0, 1000.0
        case "unit_999":
            return 999.0, 999.0
        case "unit_1":
            return 1.0, 1.0


def restored(
    boxes: npt.NDArray[np.float64], coordinates: Coordinates, axes: Axes, *, sent: Size, size: Size
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Convert (N, 4) boxes to pixels of the image of ``size``; also return which are within the coordinate range.

    Corners may come in any order.
    """
    order = [0, 1, 2, 3] if axes == "xyxy" else [1, 0, 3, 2]
    corners = np.clip(boxes.reshape(-1, 4)[:, order], -_FARTHEST, _FARTHEST)
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    end = np.array(ends(coordinates, sent), np.float64)
    inside = np.all((low >= -_SLACK * end) & (high <= (1 + _SLACK) * end), axis=1)
    scale = np.array([size[1], size[0]], np.float64) / end
    return np.concatenate([low * scale, high * scale], axis=1).astype(np.float32), inside


def written(
    boxes: npt.NDArray[np.float32], coordinates: Coordinates, axes: Axes, *, sent: Size, size: Size
) -> list[list[float]]:
    """Return (N, 4) boxes in pixels of the image of ``size`` as a model is told them, the inverse of ``restored``."""
    end = np.array(ends(coordinates, sent), np.float64)
    scale = end / np.array([size[1], size[0]], np.float64)
    told = np.round(boxes.astype(np.float64) * np.tile(scale, 2), 4 if coordinates == "unit_1" else 0)
    order = [0, 1, 2, 3] if axes == "xyxy" else [1, 0, 3, 2]
    out: list[list[float]] = told[:, order].tolist()
    return out


def described(coordinates: Coordinates, *, sent: Size) -> str:
    """Return the sentence of the prompt that describes the coordinates."""
    height, width = sent
    match coordinates:
        case "pixels":
            return f"Coordinates are pixels of this image, which is {width} wide and {height} high."
        case "unit_1":
            return "Coordinates are fractions of the image's width and height, from 0 to 1."
        case "unit_1000" | "unit_999":
            return f"Coordinates are whole numbers from 0 to {coordinates[5:]}, whatever the size of the image."


def corners(axes: Axes) -> str:
    """Return the names of a box's numbers, in order."""
    return "x1, y1, x2, y2" if axes == "xyxy" else "y1, x1, y2, x2"
