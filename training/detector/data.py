"""Photos with named boxes, read from COCO files."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "dev")


@dataclass(frozen=True)
class Photo:
    """One photo: its path, boxes (n, 4) as x0, y0, x1, y1 in pixels, and one name per box."""

    path: Path
    boxes: NDArray[np.float32]
    names: tuple[str, ...]


def load_photos(root: Path, dataset: str, split: str) -> list[Photo]:
    """Read the photos of one split that have at least one box; crowd boxes are left out.

    Only `train` and `dev` can be read: test files belong to nobody who trains or tunes.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split}")
    coco = json.loads((root / dataset / f"{split}.json").read_text())
    category_names = {category["id"]: category["name"] for category in coco["categories"]}
    by_image = defaultdict(list)
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd"):
            by_image[annotation["image_id"]].append(annotation)
    photos = []
    for image in coco["images"]:
        annotations = by_image.get(image["id"], [])
        if annotations:
            boxes = np.array([annotation["bbox"] for annotation in annotations], np.float32)
            boxes[:, 2:] += boxes[:, :2]
            names = tuple(category_names[annotation["category_id"]] for annotation in annotations)
            photos.append(Photo(root / dataset / "images" / image["file_name"], boxes, names))
    return photos


def category_names(root: Path, dataset: str) -> list[str]:
    """Return the class names of a set in the order of its COCO file."""
    coco = json.loads((root / dataset / "train.json").read_text())
    return [category["name"] for category in coco["categories"]]
