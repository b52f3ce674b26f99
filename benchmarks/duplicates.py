"""Measure how near-duplicates are found: tiles of one photo that overlap, and changed copies; beside imagededup.

``python benchmarks/duplicates.py SETS...``: folders with ``images/`` and COCO files in which every image names its
``source_photo``. imagededup is measured where it is installed (``pip install imagededup``). ``--features CHECKPOINT``
also ranks the pairs of overlapping tiles by the cosine of a Grounding DINO's pooled image features, each level of them.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.util
import io
import json
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageEnhance

from autolabel.run.duplicates import group_folder

Pair = tuple[str, str]
COPIED = 20
"""Photos of each set that are copied."""
SHARED = 0.025
"""Phase correlation above which two tiles share pixels: between tiles that share none it stays below 0.023."""


def sources(folder: Path) -> dict[str, str]:
    """Return which photo each image was cut from."""
    images = [one for file in sorted(folder.glob("*.json")) for one in json.loads(file.read_text())["images"]]
    return {one["file_name"]: one["source_photo"] for one in images}


def correlation(first: Path, second: Path) -> float:
    """Return the peak of the phase correlation of two images: high where they share pixels, wherever those lie."""
    spectra = []
    for path in (first, second):
        grey = np.asarray(Pillow.open(path).convert("L").resize((160, 160), Pillow.Resampling.BOX), np.float32)
        spectra.append(np.fft.rfft2(grey - grey.mean(), (320, 320)))
    product = spectra[0] * np.conj(spectra[1])
    return float(np.fft.irfft2(product / (np.abs(product) + 1e-6)).max())


def copies(image: Pillow.Image) -> dict[str, Pillow.Image]:
    """Return changed copies of a photo, as people and programs make them."""
    width, height = image.size
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return {
        "quality40": Pillow.open(stream).convert("RGB"),
        "half": image.resize((width // 2, height // 2)),
        "brighter": ImageEnhance.Brightness(image).enhance(1.3),
        "cut": image.crop((width // 20, height // 20, width, height)),
    }


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Takes the place of torchvision, which imagededup imports for networks that are not used here."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Stand in for every module of torchvision."""
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] == "torchvision" else None

    def create_module(self, spec: ModuleSpec) -> MagicMock:
        """Return a module in which every name is there."""
        return MagicMock(__path__=[], __spec__=spec, __name__=spec.name)

    def exec_module(self, module: object) -> None:
        """Do nothing."""


def peer(folder: Path) -> set[Pair]:
    """Return the pairs that imagededup's perceptual hash finds with its own threshold."""
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.append(StandIn())
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(image_dir=str(folder))
    return {tuple(sorted((name, other))) for name, others in found.items() for other in others}


def ours(folder: Path) -> set[Pair]:
    """Return the pairs that are in one group."""
    return {pair for members in group_folder(folder).members for pair in combinations(members, 2)}


def pooled(folder: Path, checkpoint: str) -> list[NDArray[np.float32]]:
    """Return the mean features of the images in a folder by name, one (images, channels) unit matrix for each level."""
    import torch

    from autolabel.images import read_pixels
    from autolabel.registry import discover
    from autolabel_grounding_dino.load import load_model
    from autolabel_labeling.pixels import resize_pixels
    from autolabel_labeling.tensors import to_tensor

    labeler: Any = discover().make("labeler", "grounding_dino", {"checkpoint": checkpoint})
    model = load_model(labeler.path, labeler.params, text_folder=labeler.text_folder).eval()
    rows: list[list[NDArray[np.float32]]] = []
    for path in sorted(folder.iterdir()):
        pixels = read_pixels(path)
        resized = resize_pixels(pixels, labeler.shaping.resized(pixels.shape[:2]))
        batch = to_tensor([resized], resized.shape[:2], labeler.shaping, "cpu")
        with torch.no_grad():
            maps = model.model.backbone.conv_encoder(batch.pixels, batch.valid.long())
        rows.append([level[0].mean((2, 3))[0].numpy() for level in maps])
    levels = [np.stack(level) for level in zip(*rows, strict=True)]
    return [level / np.linalg.norm(level, axis=1, keepdims=True) for level in levels]


def measure_features(name: str, folder: Path, checkpoint: str, wanted: set[Pair], same: set[Pair]) -> None:
    """Print the wanted pairs that are nearer than any pair of different photos, and those among as many as wanted."""
    images = sorted(path.name for path in folder.iterdir())
    pairs = list(combinations(images, 2))
    for number, level in enumerate(pooled(folder, checkpoint)):
        cosines = (level @ level.T)[np.triu_indices(len(images), 1)]
        ranked = [pairs[place] for place in np.argsort(-cosines, kind="stable")]
        clean = next(place for place, pair in enumerate(ranked) if pair not in same)
        print(f"{name:28} features, level {number} {figures(ranked[:clean], wanted, same)}; among the nearest")
        print(f"{'':28} {len(wanted)} pairs:           {figures(ranked[: len(wanted)], wanted, same)}", flush=True)


def cpu_seconds() -> float:
    """Return what this process and those that it has started have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def figures(found: Iterable[Pair], wanted: set[Pair], same: set[Pair]) -> str:
    """Return how many of the wanted pairs were found, and how many were found that are not even of one photo."""
    found = set(found)
    return f"{len(found & wanted):4d} of {len(wanted):4d} found, {len(found - same):4d} of different photos"


def measure(name: str, folder: Path, wanted: set[Pair], same: set[Pair]) -> None:
    """Print a row for each way of finding pairs."""
    for way, search in (("autolabel", ours), ("imagededup PHash", peer)):
        started = cpu_seconds()
        try:
            found = search(folder)
        except ImportError as error:
            print(f"{name:28} {way:18} not installed: {error}")
            continue
        spent = (cpu_seconds() - started) / max(1, len(list(folder.iterdir())))
        print(f"{name:28} {way:18} {figures(found, wanted, same)}, {1000 * spent:5.1f} ms of CPU an image", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--features", metavar="CHECKPOINT", help="a Grounding DINO whose image features are compared")
    words = parser.parse_args()
    for folder in words.sets:
        photo = sources(folder)
        same = {pair for pair in combinations(sorted(photo), 2) if photo[pair[0]] == photo[pair[1]]}
        images = folder / "images"
        shared = {pair for pair in same if correlation(images / pair[0], images / pair[1]) > SHARED}
        with tempfile.TemporaryDirectory() as temporary:
            tiles, changed = Path(temporary) / "tiles", Path(temporary) / "changed"
            tiles.mkdir()
            changed.mkdir()
            for image in photo:
                shutil.copy(images / image, tiles / image)
            if words.features and shared:  # before the peer, whose stand-in for torchvision confuses transformers
                measure_features(f"{folder.name}: overlapping tiles", tiles, words.features, shared, same)
            measure(f"{folder.name}: overlapping tiles", tiles, shared, same)
            groups = []
            for image in random.Random(0).sample(sorted(set({photo[i]: i for i in sorted(photo)}.values())), COPIED):
                stem = Path(image).stem
                whole = Pillow.open(images / image).convert("RGB")
                every = {"whole": whole, **copies(whole)}
                for change, picture in every.items():
                    picture.save(changed / f"{stem}-{change}.png")
                groups.append([f"{stem}-{change}.png" for change in every])
            wanted = {pair for group in groups for pair in combinations(sorted(group), 2)}
            measure(f"{folder.name}: changed copies", changed, wanted, wanted)


if __name__ == "__main__":
    main()
