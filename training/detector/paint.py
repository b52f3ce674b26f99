"""What shapes are painted with: named colours with light and grain, and textures."""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
TEXTURES = ("plain", "striped", "dotted", "checkered")
PERIOD = (0.4, 0.6)  # of a texture, in radii of the shape
DOT = 0.32  # radius of a dot, in periods
TONE = 0.65  # how far the second tone goes towards black, or towards white from a dark colour
DARK = 75  # colours with a smaller mean are dark

Picture = NDArray[np.float32]


def paint(colour: str, size: int, rng: random.Random) -> Picture:
    """Return a picture (size, size, 3) of one colour, 0..255, with a tint, a gradient and soft noise."""
    tint = np.array([rng.uniform(-14, 14) for _ in range(3)], np.float32)
    flat = np.array(COLOURS[colour], np.float32) * rng.uniform(0.8, 1.1) + tint
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    shade = ramp[None, :] * rng.uniform(-25, 25) + ramp[:, None] * rng.uniform(-25, 25)
    grain = np.random.default_rng(rng.getrandbits(32)).standard_normal((40, 40), np.float32)
    soft = np.asarray(Image.fromarray(grain).resize((size, size), Image.Resampling.BILINEAR))
    return (flat + (shade + soft * rng.uniform(2, 14))[:, :, None]).clip(0, 255).astype(np.float32)


def textured(picture: Picture, texture: str, *, radius: float, rng: random.Random) -> Picture:
    """Return a painted picture (size, size, 3) with a second tone of its colour where the texture has it.

    `radius` is that of the shape in pixels: the texture is about so fine that every shape shows some of it.
    """
    if texture == "plain":
        return picture
    second = picture * (1 - TONE) + (255 * TONE if picture.mean() < DARK else 0)
    pattern = _pattern(texture, len(picture), radius * rng.uniform(*PERIOD), rng.uniform(0, math.pi))
    return np.where(pattern[:, :, None], second, picture).astype(np.float32)


def _pattern(texture: str, size: int, period: float, angle: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:size, :size].astype(np.float32) / period
    across = (x * math.cos(angle) + y * math.sin(angle)) % 1
    along = (y * math.cos(angle) - x * math.sin(angle)) % 1
    match texture:
        case "striped":
            return np.asarray(across < 0.5)
        case "checkered":
            return np.asarray((across < 0.5) ^ (along < 0.5))
        case "dotted":
            return np.asarray((across - 0.5) ** 2 + (along - 0.5) ** 2 < DOT**2)
        case _:
            raise ValueError(f"texture must be one of {', '.join(TEXTURES)}, not {texture}")
