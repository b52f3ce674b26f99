"""A cache on disk of frozen backbone features for every view that training and its dev checks can draw."""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autolabel_grounding_dino.efficientnet import EfficientNetLite0, load_imagenet_weights

from .augment import View, plain_view, random_view, read_pixels
from .config import Recipe
from .data import Photo, load_photos
from .pretrained import image_weights
from .scenes import draw_scene

SCENES = "scenes"
STAGES = (3, 5, 7)
STRIDES = (8, 16, 32)
CHANNELS = (40, 112, 320)
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0


@dataclass(frozen=True)
class Job:
    """One view to compute: `photo` is the photo shown or the background of a scene; variant 0 is the plain view."""

    dataset: str
    split: str
    photo: Photo
    variant: int


@dataclass(frozen=True)
class Sample:
    """What one cached view shows: boxes (n, 4) x0, y0, x1, y1 in 0..1 and one name per box."""

    dataset: str
    split: str
    boxes: NDArray[np.float32]
    names: tuple[str, ...]


class FeatureCache:
    """Cached views: `samples[i]` describes view i, `features(rows)` gives its maps."""

    def __init__(self, folder: Path) -> None:
        records = json.loads((folder / "samples.json").read_text())
        self.samples = [
            Sample(
                record["dataset"],
                record["split"],
                np.array(record["boxes"], np.float32).reshape(-1, 4),
                tuple(record["names"]),
            )
            for record in records
        ]
        self._maps = [np.load(folder / f"stride{stride}.npy", mmap_mode="r") for stride in STRIDES]

    def features(self, rows: Sequence[int]) -> list[Tensor]:
        """Return one float32 map (len(rows), channels, side, side) per stride."""
        return [torch.from_numpy(np.stack([level[row] for row in rows])).float() for level in self._maps]

    def rows(self, dataset: str, split: str) -> list[int]:
        """Return the rows of one split that show at least one box."""
        return [
            row
            for row, sample in enumerate(self.samples)
            if sample.dataset == dataset and sample.split == split and sample.names
        ]


def frozen_backbone() -> EfficientNetLite0:
    """Return the ImageNet backbone in float32 with weights rounded to the float16 that ships."""
    network = EfficientNetLite0()
    load_imagenet_weights(network, image_weights())
    return network.half().float().eval().requires_grad_(False)


def build_cache(recipe: Recipe, data: Path, cache: Path) -> FeatureCache:
    """Return the cache of this recipe under the folder `cache`, computed first where it is missing."""
    folder = cache / recipe.features_digest()
    if not (folder / "samples.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fill(recipe, list(_jobs(recipe, data)), folder)
    return FeatureCache(folder)


def make_view(recipe: Recipe, job: Job, seed: int) -> View:
    """Draw the view of a job; the same seed gives the same view."""
    rng = random.Random(seed)
    if job.dataset == SCENES:
        background = read_pixels(job.photo.path)
        scene = draw_scene(background, recipe.image_size, rng=rng, most_shapes=recipe.scenes.most_shapes)
        return View(scene.pixels, scene.boxes / np.float32(recipe.image_size), scene.phrases)
    if job.variant == 0:
        return plain_view(job.photo, recipe.image_size)
    return random_view(job.photo, recipe.image_size, rng=rng, turn=recipe.sets[job.dataset].turn)


def _jobs(recipe: Recipe, data: Path) -> Iterator[Job]:
    for dataset, chosen in recipe.sets.items():
        for photo, variant in product(load_photos(data, dataset, "train"), range(chosen.views)):
            yield Job(dataset, "train", photo, variant)
        for photo in load_photos(data, dataset, "dev"):
            yield Job(dataset, "dev", photo, 0)
    rng = random.Random(recipe.seed)
    for split, count in (("train", recipe.scenes.train), ("dev", recipe.scenes.dev)):
        backgrounds = load_photos(data, recipe.scenes.backgrounds, split)
        for variant in range(count):
            yield Job(SCENES, split, rng.choice(backgrounds), variant)


def _fill(recipe: Recipe, jobs: list[Job], folder: Path) -> None:
    for stride, channels in zip(STRIDES, CHANNELS, strict=True):
        side = recipe.image_size // stride
        shape = (len(jobs), channels, side, side)
        np.lib.format.open_memmap(folder / f"stride{stride}.npy", "w+", np.float16, shape).flush()
    parts = [range(start, len(jobs), recipe.cache_workers) for start in range(recipe.cache_workers)]
    tasks = [(recipe, jobs, folder, part) for part in parts]
    with multiprocessing.get_context("spawn").Pool(recipe.cache_workers) as pool:
        described = dict(record for records in pool.starmap(_fill_part, tasks) for record in records)
    records = [described[row] for row in range(len(jobs))]
    (folder / "samples.json").write_text(json.dumps(records))


@torch.no_grad()
def _fill_part(recipe: Recipe, jobs: list[Job], folder: Path, rows: range) -> list[tuple[int, dict[str, object]]]:
    torch.set_num_threads(1)
    network = frozen_backbone().to(memory_format=torch.channels_last)
    maps = [np.load(folder / f"stride{stride}.npy", mmap_mode="r+") for stride in STRIDES]
    records: list[tuple[int, dict[str, object]]] = []
    started = time.monotonic()
    for row in rows:
        view = make_view(recipe, jobs[row], seed=recipe.seed * 1_000_003 + row)
        features = network(normalise(view.pixels))
        for level, stage in zip(maps, STAGES, strict=True):
            level[row] = features[stage][0].numpy()
        job = jobs[row]
        records.append(
            (row, {"dataset": job.dataset, "split": job.split, "boxes": view.boxes.tolist(), "names": view.names})
        )
        if len(records) % 500 == 0:
            pace = (time.monotonic() - started) / len(records)
            print(f"cached {len(records)} of {len(rows)} views, {pace * 1000:.0f} ms each", file=sys.stderr, flush=True)
    for level in maps:
        level.flush()
    return records


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """Map pixels (height, width, 3) to (1, 3, height, width) in the range the backbone was trained on."""
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    return ((tensor - PIXEL_MEAN) / PIXEL_SCALE).contiguous(memory_format=torch.channels_last)
