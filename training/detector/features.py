"""A cache on disk of what the frozen first stages make of every view that training and its dev checks can draw."""

from __future__ import annotations

import hashlib
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
from safetensors.torch import load_file
from torch import Tensor

from autolabel_labeling.efficientnet import STAGE_CHANNELS, EfficientNetLite0, load_imagenet_weights
from autolabel_training.augment import View, mosaic_view, plain_view, random_view, shrunk_view, whole_view
from autolabel_training.photo import TrainingPhoto
from autolabel_training.recipe import plain

from .config import Recipe, SceneRecipe
from .data import Data
from .pretrained import image_weights
from .scenes import draw_scene

SCENES = "scenes"
STAGES = (3, 5, 7)
STRIDES = (8, 16, 32)
FROZEN_STAGES = 2  # the stem and these stages keep their ImageNet weights; their output is what is cached
CACHED_STRIDE = 4
MAPS_FILE = f"stride{CACHED_STRIDE}.npy"
INDEX_FILE = "model.safetensors.index.json"
IMAGE_NETWORK = "model.backbone.conv_encoder.model.features."
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0


@dataclass(frozen=True)
class Job:
    """One view to compute: `photo` is the photo shown or the background of a scene; variant 0 is the plain view."""

    dataset: str
    split: str
    photo: TrainingPhoto
    variant: int
    beside: tuple[TrainingPhoto, ...] = ()
    """The other photos of a mosaic."""


@dataclass(frozen=True)
class Sample:
    """What one cached view shows: boxes (n, 4) x0, y0, x1, y1 in 0..1 and one name per box."""

    dataset: str
    split: str
    boxes: NDArray[np.float32]
    names: tuple[str, ...]


class FeatureCache:
    """Cached views: `samples[i]` describes view i, `features(rows)` gives its map."""

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
        self._maps = np.load(folder / MAPS_FILE, mmap_mode="r")

    def features(self, rows: Sequence[int]) -> Tensor:
        """Return float32 maps (len(rows), channels, side, side) of stride 4."""
        return torch.from_numpy(np.stack([self._maps[row] for row in rows])).float()

    def rows(self, dataset: str, split: str) -> list[int]:
        """Return the rows of one split that show at least one box."""
        return [
            row
            for row, sample in enumerate(self.samples)
            if sample.dataset == dataset and sample.split == split and sample.names
        ]

    def rows_by_name(self, dataset: str) -> list[list[int]]:
        """Return the training rows that show each name of a set, by name; a row may show several."""
        rows: dict[str, list[int]] = {}
        for row in self.rows(dataset, "train"):
            for name in sorted(set(self.samples[row].names)):
                rows.setdefault(name, []).append(row)
        return [rows[name] for name in sorted(rows)]


def image_network(start: str | None) -> EfficientNetLite0:
    """Return the image network of the checkpoint directory `start`, or with ImageNet weights, in float32.

    ImageNet weights are rounded to the float16 that ships.
    """
    network = EfficientNetLite0()
    if start is None:
        load_imagenet_weights(network, image_weights())
    else:
        network.load_state_dict(load_tensors(Path(start), IMAGE_NETWORK))
    return network.half().float().eval().requires_grad_(False)


def load_tensors(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint directory whose names start with `prefix`, under the rest of their names."""
    places = json.loads((folder / INDEX_FILE).read_text())["weight_map"]
    found = {}
    for shard in sorted({shard for name, shard in places.items() if name.startswith(prefix)}):
        tensors = load_file(folder / shard)
        found |= {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return found


def frozen_part(network: EfficientNetLite0, pixels: Tensor) -> Tensor:
    """Map normalised pixels (batch, 3, side, side) to what the stem and the frozen stages make of them."""
    result: Tensor = network.stem(pixels)
    for stage in network.stages[:FROZEN_STAGES]:
        result = stage(result)
    return result


def trained_part(network: EfficientNetLite0, features: Tensor) -> list[Tensor]:
    """Map the output of the frozen part to the maps of strides 8, 16 and 32 that the detector reads."""
    result, levels = features, []
    for number, stage in enumerate(network.stages[FROZEN_STAGES:], start=FROZEN_STAGES + 1):
        result = stage(result)
        if number in STAGES:
            levels.append(result)
    return levels


def build_cache(recipe: Recipe, data: Data, cache: Path) -> FeatureCache:
    """Return the cache of this recipe under the folder `cache`, computed first where it is missing."""
    folder = cache / _digest(recipe, data)
    if not (folder / "samples.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fill(recipe, list(_jobs(recipe, data)), folder)
    return FeatureCache(folder)


def _digest(recipe: Recipe, data: Data) -> str:
    """Return a short hash of what decides the cached features (mixes do not)."""
    views = {name: plain(each) for name, each in recipe.sets.items()}
    scenes = None if recipe.scenes is None else plain(recipe.scenes)
    place = [CACHED_STRIDE, recipe.start, data.own_digest()]
    text = json.dumps([place, recipe.seed, recipe.image_size, views, scenes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_view(recipe: Recipe, job: Job, seed: int) -> View:
    """Draw the view of a job; the same seed gives the same view."""
    rng = random.Random(seed)
    if job.dataset == SCENES and recipe.scenes is not None:
        background = job.photo.pixels()
        scenes = recipe.scenes
        kind = draw_kind(scenes, rng)
        scene = draw_scene(background, recipe.image_size, rng=rng, most_shapes=scenes.most_shapes, kind=kind)
        return View(scene.pixels, scene.boxes / np.float32(recipe.image_size), scene.phrases)
    if job.variant == 0:
        return plain_view(job.photo, recipe.image_size)
    chosen = recipe.sets[job.dataset]
    if job.beside:
        return mosaic_view([job.photo, *job.beside], recipe.image_size, rng=rng, kept_part=chosen.kept_part)
    if job.variant >= chosen.views + chosen.whole:
        return shrunk_view(job.photo, recipe.image_size, rng=rng, mirror=chosen.mirror)
    if job.variant >= chosen.views:
        return whole_view(job.photo, recipe.image_size, rng=rng, turn=chosen.turn, mirror=chosen.mirror)
    kept, mirror = chosen.kept_part, chosen.mirror
    return random_view(job.photo, recipe.image_size, rng=rng, turn=chosen.turn, kept_part=kept, mirror=mirror)


def draw_kind(scenes: SceneRecipe, rng: random.Random) -> str:
    """Draw the kind of a scene; nothing is drawn where there is only one."""
    kinds = list(scenes.kinds)
    return kinds[0] if len(kinds) == 1 else rng.choices(kinds, list(scenes.kinds.values()))[0]


def _jobs(recipe: Recipe, data: Data) -> Iterator[Job]:
    for dataset, chosen in recipe.sets.items():
        photos = data.photos(dataset, "train")
        rng = random.Random(f"{recipe.seed}-{dataset}")
        for photo, variant in product(photos, range(chosen.views + chosen.whole + chosen.shrunk + chosen.mosaics)):
            mosaic = variant >= chosen.views + chosen.whole + chosen.shrunk
            yield Job(dataset, "train", photo, variant, tuple(rng.choices(photos, k=3)) if mosaic else ())
        for photo in data.photos(dataset, "dev"):
            yield Job(dataset, "dev", photo, 0)
    if recipe.scenes is None:
        return
    rng = random.Random(recipe.seed)
    for split, count in (("train", recipe.scenes.train), ("dev", recipe.scenes.dev)):
        backgrounds = data.photos(recipe.scenes.backgrounds, split)
        for variant in range(count):
            yield Job(SCENES, split, rng.choice(backgrounds), variant)


def _fill(recipe: Recipe, jobs: list[Job], folder: Path) -> None:
    side = recipe.image_size // CACHED_STRIDE
    shape = (len(jobs), STAGE_CHANNELS[FROZEN_STAGES], side, side)
    np.lib.format.open_memmap(folder / MAPS_FILE, "w+", np.float16, shape).flush()
    parts = [range(start, len(jobs), recipe.cache_workers) for start in range(recipe.cache_workers)]
    tasks = [(recipe, jobs, folder, part) for part in parts]
    with multiprocessing.get_context("spawn").Pool(recipe.cache_workers) as pool:
        described = dict(record for records in pool.starmap(_fill_part, tasks) for record in records)
    records = [described[row] for row in range(len(jobs))]
    (folder / "samples.json").write_text(json.dumps(records))


@torch.no_grad()
def _fill_part(recipe: Recipe, jobs: list[Job], folder: Path, rows: range) -> list[tuple[int, dict[str, object]]]:
    torch.set_num_threads(1)
    network = image_network(recipe.start).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    maps = np.load(folder / MAPS_FILE, mmap_mode="r+")
    records: list[tuple[int, dict[str, object]]] = []
    started = time.monotonic()
    for row in rows:
        view = make_view(recipe, jobs[row], seed=recipe.seed * 1_000_003 + row)
        maps[row] = frozen_part(network, normalise(view.pixels))[0].numpy()
        job = jobs[row]
        records.append(
            (row, {"dataset": job.dataset, "split": job.split, "boxes": view.boxes.tolist(), "names": view.names})
        )
        if len(records) % 500 == 0:
            pace = (time.monotonic() - started) / len(records)
            print(f"cached {len(records)} of {len(rows)} views, {pace * 1000:.0f} ms each", file=sys.stderr, flush=True)
    maps.flush()
    return records


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """Map pixels (height, width, 3) to (1, 3, height, width) in the range the backbone was trained on."""
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    return ((tensor - PIXEL_MEAN) / PIXEL_SCALE).contiguous(memory_format=torch.channels_last)
