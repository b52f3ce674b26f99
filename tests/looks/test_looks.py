"""The built-in looks: what they show, and that boxes and masks come back exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autolabel.registry import Registry
from autolabel.strategies import Look
from autolabel.testing import check_look
from autolabel_looks.brightness import Brighter, Darker
from autolabel_looks.symmetry import Flip, Mirror, Plain, Rotate
from autolabel_looks.zoom_out import ZoomOut

CASES: list[tuple[type[Look], dict[str, Any]]] = [
    (Plain, {}),
    (Mirror, {}),
    (Flip, {}),
    (Rotate, {"degrees": 90}),
    (Rotate, {"degrees": 180}),
    (Rotate, {"degrees": 270}),
    (ZoomOut, {}),
    (ZoomOut, {"factor": 1.01}),
    (ZoomOut, {"factor": 2.3}),
    (Darker, {}),
    (Brighter, {"factor": 2}),
]


@pytest.mark.parametrize(("strategy", "params"), CASES)
def test_it_keeps_the_contract(strategy: type[Look], params: dict[str, Any]) -> None:
    check_look(strategy, params)


def shown(name: str, registry: Registry, params: dict[str, Any], image: list[list[int]]) -> list[list[int]]:
    """What a look shows of an image, given and told by its red channel."""
    pixels = np.repeat(np.array(image, np.uint8)[:, :, None], 3, axis=2)
    seen: list[list[int]] = registry.make("look", name, params).apply(pixels)[:, :, 0].tolist()
    return seen


@pytest.mark.parametrize(
    ("name", "params", "seen"),
    [
        ("plain", {}, [[1, 2, 3], [4, 5, 6]]),
        ("mirror", {}, [[3, 2, 1], [6, 5, 4]]),
        ("flip", {}, [[4, 5, 6], [1, 2, 3]]),
        ("rotate", {"degrees": 90}, [[4, 1], [5, 2], [6, 3]]),
        ("rotate", {"degrees": 180}, [[6, 5, 4], [3, 2, 1]]),
        ("rotate", {"degrees": 270}, [[3, 6], [2, 5], [1, 4]]),
        ("zoom_out", {"factor": 2}, [[124] * 6, [124, 1, 2, 3, 124, 124], [124, 4, 5, 6, 124, 124], [124] * 6]),
    ],
)
def test_what_is_shown(name: str, params: dict[str, Any], seen: list[list[int]], registry: Registry) -> None:
    assert shown(name, registry, params, [[1, 2, 3], [4, 5, 6]]) == seen


def test_light(registry: Registry) -> None:
    assert shown("darker", registry, {"factor": 0.5}, [[0, 7, 255]]) == [[0, 4, 128]]
    assert shown("brighter", registry, {"factor": 2}, [[0, 7, 200]]) == [[0, 14, 255]]


@pytest.mark.parametrize(("strategy", "params"), CASES)
def test_boxes_between_pixels_come_back(strategy: type[Look], params: dict[str, Any]) -> None:
    """A box of halves of pixels, which may reach beyond the image, is carried over by hand and back."""
    look, size = strategy(strategy.Params.model_validate(params)), (40, 60)
    box = np.array([[-3.5, 2.25, 17.75, 41.5]], np.float32)
    height, width = size
    x1, y1, x2, y2 = box[0]
    seen = {
        "mirror": [width - x2, y1, width - x1, y2],
        "flip": [x1, height - y2, x2, height - y1],
        90: [height - y2, x1, height - y1, x2],
        180: [width - x2, height - y2, width - x1, height - y1],
        270: [y1, width - x2, y2, width - x1],
    }.get(params.get("degrees", look.name), [x1, y1, x2, y2])
    if isinstance(look, ZoomOut):
        top, left = look.corner(size)
        seen = [x1 + left, y1 + top, x2 + left, y2 + top]
    assert look.restore_boxes(np.array([seen], np.float32), size).tolist() == box.tolist()
