"""Generated scenes: shapes on a photo, each with a phrase, a box and an exact mask."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .paint import COLOURS, TEXTURES, paint, textured
from .phrases import COLOUR, COUNT, COUNTS, RELATION, SHAPES, SIZE, SIZES, TEXTURE, Description

STEADY_SHAPES = ("square", "diamond")  # turned only a little: a square turned by 45 degrees is a diamond
SUPERSAMPLING = 2
RADIUS = (0.06, 0.2)  # of shapes, in sides of the picture
RADIUS_OF_SIZE = {"small": (0.05, 0.085), "large": (0.15, 0.22)}
TEXTURED_RADIUS = (0.1, 0.22)
REPEATED = 0.6  # part of the shapes of a counting scene that are like one before
RING_HOLE = 0.55
SMALLEST_MASK = 20

Points = NDArray[np.float64]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """Pixels (size, size, 3) uint8, boxes (n, 4) x0, y0, x1, y1 in pixels, masks (n, size, size) bool, n phrases."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: NDArray[np.bool_]
    phrases: tuple[str, ...]


def draw_scene(
    background: NDArray[np.uint8], size: int, *, rng: random.Random, most_shapes: int, kind: str = COLOUR
) -> Scene:
    """Paste 1 to `most_shapes` shapes that do not overlap on a square crop of the background (height, width, 3).

    `kind`, one of `phrases.KINDS`, is what the phrases tell beside colour and shape. Every shape answers exactly one
    phrase: those of a counting scene share the phrase of their group, and no two shapes of a scene with relations
    are alike.
    """
    canvas = _square_crop(background, size, rng).astype(np.float32)
    boxes: list[Box] = []
    masks: list[NDArray[np.bool_]] = []
    shown: list[Description] = []
    for _ in range(rng.randint(1, most_shapes)):
        mark = rng.choice(SIZES) if kind == SIZE else None
        radius = rng.uniform(*_radii(kind, mark)) * size
        centre = (rng.uniform(radius, size - radius), rng.uniform(radius, size - radius))
        if any(_collide(box, centre, radius) for box in boxes):
            continue
        wanted = replace(_next_thing(shown, kind, rng), size=mark)
        if kind == RELATION and wanted in shown:
            continue
        cover = _coverage(wanted.shape, centre, radius, size, rng)
        mask = cover > 0.5
        if mask.sum() < SMALLEST_MASK:
            continue
        painted = paint(wanted.colour, size, rng)
        if wanted.texture:
            painted = textured(painted, wanted.texture, radius=radius, rng=rng)
        canvas = canvas * (1 - cover[:, :, None]) + painted * cover[:, :, None]
        boxes.append(mask_box(mask))
        masks.append(mask)
        shown.append(wanted)
    return Scene(
        canvas.clip(0, 255).astype(np.uint8),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(masks, bool).reshape(-1, size, size),
        tuple(each.text for each in _described(shown, boxes, kind, rng)),
    )


def relations(box: Box, other: Box) -> list[str]:
    """Return how a box lies to another one, by the axes on which they do not overlap; may be empty."""
    holds = {
        "left of": box[2] <= other[0],
        "right of": box[0] >= other[2],
        "above": box[3] <= other[1],
        "below": box[1] >= other[3],
    }
    return [relation for relation, true in holds.items() if true]


def _radii(kind: str, mark: str | None) -> tuple[float, float]:
    if mark is not None:
        return RADIUS_OF_SIZE[mark]
    return TEXTURED_RADIUS if kind == TEXTURE else RADIUS


def _next_thing(shown: list[Description], kind: str, rng: random.Random) -> Description:
    if kind == COUNT and shown and rng.random() < REPEATED:
        return rng.choice(shown)
    shape, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
    return Description(colour, shape, texture=rng.choice(TEXTURES) if kind == TEXTURE else None)


def _described(shown: list[Description], boxes: list[Box], kind: str, rng: random.Random) -> list[Description]:
    """Return what the phrase of every shape says, once all shapes are there."""
    if kind == COUNT:
        counts = Counter(shown)
        return [replace(each, count=COUNTS[counts[each] - 1]) for each in shown]
    if kind == RELATION:
        return [_related(number, shown, boxes, rng) for number in range(len(shown))]
    return shown


def _related(number: int, shown: list[Description], boxes: list[Box], rng: random.Random) -> Description:
    found = [
        (relation, other.thing)
        for other, box in zip(shown, boxes, strict=True)
        for relation in relations(boxes[number], box)
    ]
    if not found:
        return shown[number]
    relation, thing = rng.choice(found)
    return replace(shown[number], relation=relation, other=thing)


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """Return the tight box x0, y0, x1, y1 of a mask (height, width) that is not empty; x1 and y1 lie outside."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def outline(shape: str, radius: float) -> Points:
    """Return the corner points (n, 2) of a shape around the origin; a ring's outline is its outer circle."""
    turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    match shape:
        case "circle" | "ring":
            unit = np.stack([np.cos(turns), np.sin(turns)], 1)
        case "square":
            unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.85
        case "diamond":
            unit = np.array([[0, -1.2], [0.7, 0], [0, 1.2], [-0.7, 0]])
        case "triangle":
            unit = np.array([[0, -1], [0.95, 0.8], [-0.95, 0.8]])
        case "star":
            turns = np.arange(10) * np.pi / 5 - np.pi / 2
            reach = np.where(np.arange(10) % 2 == 0, 1.1, 0.46)
            unit = np.stack([np.cos(turns) * reach, np.sin(turns) * reach], 1)
        case "cross":
            unit = _cross(arm=0.33)
        case "heart":
            height = 13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns)
            unit = np.stack([np.sin(turns) ** 3, -height / 16], 1)
        case _:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, not {shape}")
    return unit * radius


def _cross(arm: float) -> Points:
    corner = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    return np.array(corner + [(-x, -y) for x, y in corner])


def _coverage(
    shape: str, centre: tuple[float, float], radius: float, size: int, rng: random.Random
) -> NDArray[np.float32]:
    stretch = rng.uniform(0.8, 1.2)
    angle = rng.uniform(-0.25, 0.25) if shape in STEADY_SHAPES else rng.uniform(-0.5, 0.5)
    points = outline(shape, radius) * [stretch, 1]
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = points @ turn
    image = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    draw = ImageDraw.Draw(image)
    draw.polygon(_corners(points, centre), fill=255)
    if shape == "ring":
        draw.polygon(_corners(points * RING_HOLE, centre), fill=0)
    return np.asarray(image.reduce(SUPERSAMPLING), np.float32) / np.float32(255)


def _corners(points: Points, centre: tuple[float, float]) -> list[tuple[float, float]]:
    return [tuple(corner) for corner in ((points + centre) * SUPERSAMPLING).tolist()]


def _square_crop(background: NDArray[np.uint8], size: int, rng: random.Random) -> NDArray[np.uint8]:
    height, width = background.shape[:2]
    side = int(min(height, width) * rng.uniform(0.4, 1))
    top, left = rng.randint(0, height - side), rng.randint(0, width - side)
    crop = Image.fromarray(background[top : top + side, left : left + side])
    return np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))


def _collide(box: Box, centre: tuple[float, float], radius: float) -> bool:
    x0, y0, x1, y1 = box
    near_x = abs(centre[0] - (x0 + x1) / 2) < radius + (x1 - x0) / 2.2
    near_y = abs(centre[1] - (y0 + y1) / 2) < radius + (y1 - y0) / 2.2
    return near_x and near_y
