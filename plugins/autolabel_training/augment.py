"""Augmentation: random crops, colours and flips of a photo, resized to a square if a size is given."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autolabel_training.photo import TrainingPhoto

_CROP_SCALE = (0.65, 1.0)
_CROP_TRIES = 10
_SHRUNK_SCALE = (0.5, 0.9)
_MOSAIC_SCALE = (0.5, 1.0)
_MEETING = (0.35, 0.65)
_TINT = (0.8, 1.2)
_QUARTERS = ((0, 0), (1, 0), (0, 1), (1, 1))


@dataclass(frozen=True)
class View:
    """A picture (height, width, 3) uint8, boxes (n, 4) x0, y0, x1, y1 in 0..1, and one name per box."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    names: tuple[str, ...]


def _squash(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (height, width, 3) to (size, size, 3), bilinear with antialiasing, as the shipped processor does."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def plain_view(photo: TrainingPhoto, size: int | None) -> View:
    """Return the whole photo; here and below, it is resized to a square of side ``size`` if one is given."""
    return _finish(photo.pixels(), photo.boxes, photo.names, size)


def random_view(
    photo: TrainingPhoto, size: int | None, *, rng: random.Random, turn: bool, kept_part: float, mirror: bool = True
) -> View:
    """Return a random crop with random colours, flipped left-right, and with `turn` up-down and transposed too.

    Without `mirror` it is never flipped; with `turn` it is then rotated by multiples of 90 degrees. A box cut by the
    crop is kept if more than `kept_part` of its area is left.
    """
    pixels, boxes, names = _crop(photo.pixels(), photo, rng, kept_part)
    pixels = recolour(pixels, rng)
    if not mirror:
        return _finish(*_rotate(pixels, boxes, rng.randrange(4) if turn else 0), names, size)
    pixels, boxes = _flip(pixels, boxes, rng, turn=turn)
    if turn and rng.random() < 0.5:
        pixels, boxes = pixels.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    return _finish(pixels, boxes, names, size)


def whole_view(photo: TrainingPhoto, size: int | None, *, rng: random.Random, turn: bool, mirror: bool = True) -> View:
    """Return the whole photo with random colours, flipped left-right, and with `turn` up-down too.

    Without `mirror` it is not flipped, and with `turn` it may be upside down.

    Unlike crops, whole photos keep the annotators' way of labelling objects at the border, and the aspect ratios that
    inference will see.
    """
    pixels = recolour(photo.pixels(), rng)
    if mirror:
        pixels, boxes = _flip(pixels, photo.boxes, rng, turn=turn)
    else:
        pixels, boxes = _rotate(pixels, photo.boxes, rng.choice((0, 2)) if turn else 0)
    return _finish(pixels, boxes, photo.names, size)


def shrunk_view(photo: TrainingPhoto, size: int | None, *, rng: random.Random, mirror: bool = True) -> View:
    """Return the whole photo shrunk, at a random place on a background of its mean colour, with random colours.

    Its sides become 0.5 to 0.9 of the view's, so that objects appear smaller than in any photo.
    """
    pixels = recolour(photo.pixels(), rng)
    boxes = photo.boxes
    if mirror:
        pixels, boxes = _flip(pixels, boxes, rng, turn=False)
    height, width = pixels.shape[:2]
    scale = rng.uniform(*_SHRUNK_SCALE)
    canvas_height, canvas_width = int(height / scale), int(width / scale)
    top, left = rng.randint(0, canvas_height - height), rng.randint(0, canvas_width - width)
    canvas = np.empty((canvas_height, canvas_width, 3), np.uint8)
    canvas[:] = pixels.mean((0, 1))
    canvas[top : top + height, left : left + width] = pixels
    return _finish(canvas, boxes + _row([left, top, left, top]), photo.names, size)


def mosaic_view(photos: Sequence[TrainingPhoto], size: int | None, *, rng: random.Random, kept_part: float) -> View:
    """Return crops of four photos, each in a quarter of a square of side `size`, flipped left-right, in random colours.

    Without a `size` the view is as large as the first photo.
    Objects appear smaller, beside other objects, on other backgrounds and in another light than in the photos. The
    point where the quarters meet is random; each crop shows at least a third of its photo's sides.
    """
    if len(photos) != len(_QUARTERS):
        raise ValueError(f"a mosaic is made of {len(_QUARTERS)} photos, not {len(photos)}")
    pictures = [photo.pixels() for photo in photos]
    full_height, full_width = pictures[0].shape[:2] if size is None else (size, size)
    cut_x, cut_y = (int(side * rng.uniform(*_MEETING)) for side in (full_width, full_height))
    canvas = np.empty((full_height, full_width, 3), np.uint8)
    found: list[NDArray[np.float32]] = []
    names: list[str] = []
    for photo, picture, (right, low) in zip(photos, pictures, _QUARTERS, strict=True):
        left, top = cut_x * right, cut_y * low
        width, height = (full_width - cut_x if right else cut_x), (full_height - cut_y if low else cut_y)
        pixels, boxes, shown = _crop(picture, photo, rng, kept_part, scale=_MOSAIC_SCALE)
        pixels, boxes = _flip(pixels, boxes, rng, turn=False)
        unit = _row([pixels.shape[1], pixels.shape[0]] * 2)
        resized = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BILINEAR)
        canvas[top : top + height, left : left + width] = recolour(_tinted(np.asarray(resized), rng), rng)
        found.append(boxes / unit * _row([width, height] * 2) + _row([left, top] * 2))
        names += shown
    return _finish(canvas, np.concatenate(found), tuple(names), size)


def _tinted(pixels: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """Change the colour of the light at random."""
    light = np.array([rng.uniform(*_TINT) for _ in range(3)], np.float32)
    tinted: NDArray[np.uint8] = (pixels * light).clip(0, 255).astype(np.uint8)
    return tinted


def _crop(
    pixels: NDArray[np.uint8],
    photo: TrainingPhoto,
    rng: random.Random,
    kept_part: float,
    scale: tuple[float, float] = _CROP_SCALE,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], tuple[str, ...]]:
    height, width = pixels.shape[:2]
    areas = np.maximum(_areas(photo.boxes), 1)
    for _ in range(_CROP_TRIES):
        part = rng.uniform(*scale)
        crop_width = int(width * part)
        crop_height = int(height * rng.uniform(max(scale[0] - 0.2, part - 0.15), min(1, part + 0.15)))
        left, top = rng.randint(0, width - crop_width), rng.randint(0, height - crop_height)
        boxes = photo.boxes - np.array([left, top, left, top], np.float32)
        boxes = boxes.clip(0, [crop_width, crop_height, crop_width, crop_height]).astype(np.float32)
        kept = _areas(boxes) / areas > kept_part
        if kept.any():
            names = tuple(name for name, keep in zip(photo.names, kept, strict=True) if keep)
            return pixels[top : top + crop_height, left : left + crop_width], boxes[kept], names
    return pixels, photo.boxes, photo.names


def _row(numbers: Sequence[float]) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


def _flip(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float32], rng: random.Random, *, turn: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    height, width = pixels.shape[:2]
    if rng.random() < 0.5:
        pixels, boxes = pixels[:, ::-1], _row([width, 0, width, 0]) - boxes[:, [2, 1, 0, 3]] * _row([1, -1, 1, -1])
    if turn and rng.random() < 0.5:
        pixels, boxes = pixels[::-1], _row([0, height, 0, height]) - boxes[:, [0, 3, 2, 1]] * _row([-1, 1, -1, 1])
    return pixels, boxes


def _rotate(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float32], quarters: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rotate counter-clockwise by multiples of 90 degrees."""
    for _ in range(quarters):
        width = pixels.shape[1]
        pixels, boxes = np.rot90(pixels), _row([0, width, 0, width]) + boxes[:, [1, 2, 3, 0]] * _row([1, -1, 1, -1])
    return pixels, boxes


def recolour(pixels: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """Change brightness, saturation and contrast of pixels (height, width, 3) at random."""
    values = pixels.astype(np.float32) * rng.uniform(0.75, 1.25) + rng.uniform(-15, 15)
    grey = values.mean(2, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.7, 1.3)
    mean = values.mean()
    values = mean + (values - mean) * rng.uniform(0.8, 1.2)
    shown: NDArray[np.uint8] = values.clip(0, 255).astype(np.uint8)
    return shown


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    areas: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _finish(pixels: NDArray[np.uint8], boxes: NDArray[np.float32], names: tuple[str, ...], size: int | None) -> View:
    height, width = pixels.shape[:2]
    unit = np.array([width, height, width, height], np.float32)
    seen = np.ascontiguousarray(pixels) if size is None else _squash(pixels, size)
    return View(seen, (boxes / unit).astype(np.float32), names)
