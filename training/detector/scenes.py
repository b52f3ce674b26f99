"""Generated scenes: coloured shapes on a photo, each with a phrase, a box and an exact mask."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (30, 70, 220),
    "yellow": (240, 220, 40),
    "purple": (130, 40, 160),
    "orange": (245, 130, 20),
    "white": (240, 240, 240),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "diamond")
STEADY_SHAPES = ("square", "diamond")  # turned only a little: a square turned by 45 degrees is a diamond
SUPERSAMPLING = 2
RADIUS = (0.06, 0.2)
RING_HOLE = 0.55
SMALLEST_MASK = 20

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Pixels (size, size, 3) uint8, boxes (n, 4) x0, y0, x1, y1 in pixels, masks (n, size, size) bool, n phrases."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: NDArray[np.bool_]
    phrases: tuple[str, ...]


def draw_scene(background: NDArray[np.uint8], size: int, *, rng: random.Random, most_shapes: int) -> Scene:
    """Paste 1 to `most_shapes` shapes that do not overlap on a square crop of the background (height, width, 3)."""
    canvas = _square_crop(background, size, rng).astype(np.float32)
    boxes: list[tuple[int, int, int, int]] = []
    masks: list[NDArray[np.bool_]] = []
    phrases: list[str] = []
    for _ in range(rng.randint(1, most_shapes)):
        radius = rng.uniform(*RADIUS) * size
        centre = (rng.uniform(radius, size - radius), rng.uniform(radius, size - radius))
        if any(_collide(box, centre, radius) for box in boxes):
            continue
        shape, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
        cover = _coverage(shape, centre, radius, size, rng)
        mask = cover > 0.5
        if mask.sum() < SMALLEST_MASK:
            continue
        paint = _paint(colour, size, rng)
        canvas = canvas * (1 - cover[:, :, None]) + paint * cover[:, :, None]
        boxes.append(mask_box(mask))
        masks.append(mask)
        phrases.append(f"{colour} {shape}")
    return Scene(
        canvas.clip(0, 255).astype(np.uint8),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(masks, bool).reshape(-1, size, size),
        tuple(phrases),
    )


def near_misses(phrases: list[str], *, rng: random.Random, count: int) -> list[str]:
    """Return `count` phrases that share colour or shape with a phrase of the scene and are not in it."""
    found: list[str] = []
    while len(found) < count:
        colour, shape = rng.choice(phrases).split()
        if rng.random() < 0.5:
            colour = rng.choice(list(COLOURS))
        else:
            shape = rng.choice(SHAPES)
        phrase = f"{colour} {shape}"
        if phrase not in phrases and phrase not in found:
            found.append(phrase)
    return found


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
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
    return np.asarray(image.reduce(SUPERSAMPLING), np.float32) / 255


def _corners(points: Points, centre: tuple[float, float]) -> list[tuple[float, float]]:
    return [tuple(corner) for corner in ((points + centre) * SUPERSAMPLING).tolist()]


def _paint(colour: str, size: int, rng: random.Random) -> NDArray[np.float32]:
    """Return a picture (size, size, 3) of one colour with a tint, a gradient and soft noise."""
    tint = np.array([rng.uniform(-14, 14) for _ in range(3)], np.float32)
    flat = np.array(COLOURS[colour], np.float32) * rng.uniform(0.8, 1.1) + tint
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    shade = ramp[None, :] * rng.uniform(-25, 25) + ramp[:, None] * rng.uniform(-25, 25)
    grain = np.random.default_rng(rng.getrandbits(32)).standard_normal((40, 40), np.float32)
    soft = np.asarray(Image.fromarray(grain).resize((size, size), Image.Resampling.BILINEAR))
    return (flat + (shade + soft * rng.uniform(2, 14))[:, :, None]).clip(0, 255).astype(np.float32)


def _square_crop(background: NDArray[np.uint8], size: int, rng: random.Random) -> NDArray[np.uint8]:
    height, width = background.shape[:2]
    side = int(min(height, width) * rng.uniform(0.4, 1))
    top, left = rng.randint(0, height - side), rng.randint(0, width - side)
    crop = Image.fromarray(background[top : top + side, left : left + side])
    return np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))


def _collide(box: tuple[int, int, int, int], centre: tuple[float, float], radius: float) -> bool:
    x0, y0, x1, y1 = box
    near_x = abs(centre[0] - (x0 + x1) / 2) < radius + (x1 - x0) / 2.2
    near_y = abs(centre[1] - (y0 + y1) / 2) < radius + (y1 - y0) / 2.2
    return near_x and near_y
