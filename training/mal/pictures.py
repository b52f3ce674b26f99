"""Pictures with boxes, and with masks where a network is to be judged."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.types import Rle
from autolabel_mal.learning.picture import BoxedPicture

from ..detector.data import SPLITS
from ..detector.scenes import Scene, draw_scene
from .config import SceneRecipe


def load_split(root: Path, dataset: str, split: str, *, masks: bool = False) -> list[BoxedPicture]:
    """Read `train` or `dev` of a set; test files belong to nobody who trains or tunes."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split}")
    return load_coco(root / dataset / f"{split}.json", root / dataset / "images", masks=masks)


def load_coco(annotations: Path, images: Path, *, masks: bool = False) -> list[BoxedPicture]:
    """Read the photos of a COCO file that have at least one box; crowds are left out.

    Masks are only looked at where `masks` asks for them; then every object needs one (ValueError otherwise).
    """
    coco = json.loads(annotations.read_text())
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd") and min(annotation["bbox"][2:]) > 0:
            by_image[annotation["image_id"]].append(annotation)
    return [
        _picture(image, by_image[image["id"]], images, masks=masks) for image in coco["images"] if by_image[image["id"]]
    ]


def _picture(image: dict[str, Any], objects: list[dict[str, Any]], images: Path, *, masks: bool) -> BoxedPicture:
    boxes = np.array([each["bbox"] for each in objects], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    size = (image["height"], image["width"])
    rles = [Rle.from_coco(each["segmentation"], size) for each in objects] if masks else []
    return BoxedPicture(images / image["file_name"], boxes, tuple(rles))


def make_scenes(recipe: SceneRecipe, backgrounds: list[BoxedPicture], *, count: int, seed: int) -> list[BoxedPicture]:
    """Draw `count` scenes of shapes on the backgrounds, with exact masks; the same seed draws the same scenes."""
    rng = random.Random(seed)
    return [
        _with_masks(draw_scene(rng.choice(backgrounds).pixels(), recipe.size, rng=rng, most_shapes=recipe.most_shapes))
        for _ in range(count)
    ]


def _with_masks(scene: Scene) -> BoxedPicture:
    return BoxedPicture(scene.pixels, scene.boxes, tuple(Rle.encode(mask) for mask in scene.masks))


def without_masks(pictures: list[BoxedPicture]) -> list[BoxedPicture]:
    """Return the pictures with their boxes alone."""
    return [BoxedPicture(picture.source, picture.boxes) for picture in pictures]
