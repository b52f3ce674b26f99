"""Crops around boxes with random margins, colours and flips, batched for training."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as record
from torch import Tensor

from autolabel_labeling.given_boxes import clip_box
from autolabel_mal.crop import box_profiles, crop_image, region
from autolabel_mal.learning.picture import BoxedPicture
from autolabel_training.augment import recolour
from autolabel_training.recipe import STRICT


@record(frozen=True, config=STRICT)
class CropRecipe:
    """Which boxes are cropped, and how."""

    smallest_side: float
    """Boxes with a side below this many pixels are left out of training."""
    margins: tuple[float, float]
    """Minimum and maximum margin, as a share of the box; half of it is added on each side."""
    recolour: float
    """Share of the crops whose colours are changed."""


@dataclass(frozen=True)
class CropShape:
    """Sides in pixels of the network's input and output."""

    crop: int
    logits: int


@dataclass(frozen=True, eq=False)
class CutCrop:
    """Pixels (crop, crop, 3) uint8, rows and columns (logits,) of the box as 0 and 1, and properties of the object."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.uint8]
    columns: NDArray[np.uint8]
    group: int
    """0, 1, 2: a small, medium, large object."""
    solid: bool = False
    """Whether it has no holes."""


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Crops (B, crop, crop, 3) uint8, box rows and columns (B, logits) float32, (B,) size groups and solid."""

    pixels: Tensor
    rows: Tensor
    columns: Tensor
    groups: Tensor
    solid: Tensor

    def to(self, device: torch.device) -> CropBatch:
        """Return the batch on a device; groups and solid stay on the CPU, where they are used."""
        pixels, rows, columns = (
            value.to(device, non_blocking=True) for value in (self.pixels, self.rows, self.columns)
        )
        return CropBatch(pixels, rows, columns, self.groups, self.solid)


@dataclass(frozen=True, eq=False)
class Source:
    """One set to draw from: its objects as (picture, index of the box), and how it is used, as ``SetRecipe`` has it."""

    objects: list[tuple[BoxedPicture, int]]
    share: float
    turn: bool
    solid: bool


def source(pictures: list[BoxedPicture], recipe: CropRecipe, *, share: float, turn: bool, solid: bool) -> Source:
    """Collect the objects of pictures that are large enough. Raises ValueError if there is none."""
    objects = [
        (picture, index)
        for picture in pictures
        for index, box in enumerate(picture.boxes)
        if min(box[2] - box[0], box[3] - box[1]) >= recipe.smallest_side
    ]
    if not objects:
        raise ValueError(f"no box has sides of {recipe.smallest_side:g} px or more; lower crops.smallest_side")
    return Source(objects, share, turn, solid)


class CropSampler:
    """Draws the batch of a step from a generator of that step, so a resumed run draws the same batches."""

    def __init__(self, sources: Sequence[Source], recipe: CropRecipe, shape: CropShape, *, seed: int) -> None:
        self._sources, self._recipe, self._shape, self._seed = sources, recipe, shape, seed

    def draw(self, step: int, count: int) -> CropBatch:
        """Return `count` crops for a step."""
        rng = random.Random(f"{self._seed}-{step}")
        chosen = rng.choices(self._sources, [each.share for each in self._sources], k=count)
        return _collate([self._crop(each, rng) for each in chosen])

    def _crop(self, chosen: Source, rng: random.Random) -> CutCrop:
        picture, index = rng.choice(chosen.objects)
        margins = (rng.uniform(*self._recipe.margins), rng.uniform(*self._recipe.margins))
        crop = cut_crop(picture.pixels(), picture.boxes[index], margins, self._shape)
        if rng.random() < self._recipe.recolour:
            crop = replace(crop, pixels=recolour(crop.pixels, rng))
        return _turned(replace(crop, solid=chosen.solid), rng, freely=chosen.turn)


def cut_crop(
    pixels: NDArray[np.uint8], box: NDArray[np.float32], margins: tuple[float, float], shape: CropShape
) -> CutCrop:
    """Cut as the labeler does: the box, clipped to the image, with margins. Raises ValueError if no area is left."""
    size = (pixels.shape[0], pixels.shape[1])
    inside = clip_box(box, size)
    if inside is None:
        raise ValueError(f"the box {box.tolist()} has no area in an image of {size[1]}x{size[0]} pixels")
    at = region(inside, size, margins)
    rows, columns = box_profiles(at, shape.logits)
    return CutCrop(crop_image(pixels, at, shape.crop), rows, columns, at.group)


def _turned(crop: CutCrop, rng: random.Random, *, freely: bool) -> CutCrop:
    pixels, rows, columns = crop.pixels, crop.rows, crop.columns
    if rng.random() < 0.5:
        pixels, columns = pixels[:, ::-1], columns[::-1]
    if freely and rng.random() < 0.5:
        pixels, rows = pixels[::-1], rows[::-1]
    if freely and rng.random() < 0.5:
        pixels, rows, columns = pixels.transpose(1, 0, 2), columns, rows
    return replace(crop, pixels=pixels, rows=rows, columns=columns)


def _collate(crops: Sequence[CutCrop]) -> CropBatch:
    """Stack crops."""
    return CropBatch(
        torch.from_numpy(np.stack([crop.pixels for crop in crops])),
        torch.from_numpy(np.stack([crop.rows for crop in crops])).float(),
        torch.from_numpy(np.stack([crop.columns for crop in crops])).float(),
        torch.tensor([crop.group for crop in crops]),
        torch.tensor([crop.solid for crop in crops]),
    )


def drawn_ahead(draw: Callable[[int], CropBatch], steps: range, *, workers: int) -> Iterator[CropBatch]:
    """Yield `draw(step)` for every step in order, drawn by threads up to two batches a worker ahead."""
    if not workers:
        yield from map(draw, steps)
        return
    waiting: deque[Future[CropBatch]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for step in steps:
            waiting.append(pool.submit(draw, step))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
