"""Photos with named boxes, read from COCO files."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from autolabel_training.photo import TrainingPhoto

SPLITS = ("train", "dev")
OWN = "own"
DEV_PART = 5  # one photo in so many of a COCO file that is not split is kept for dev


@dataclass(frozen=True)
class Data:
    """Where the sets lie: `root/SET/train.json` and `dev.json` beside `root/SET/images`.

    The set `OWN` is one COCO file, `own`, with its photos in `own_images`; a fifth of them, chosen by a hash of their
    file names, is its dev part.
    """

    root: Path
    own: Path | None = None
    own_images: Path | None = None

    def photos(self, dataset: str, split: str) -> list[TrainingPhoto]:
        """Read the photos of one split that have at least one box; crowd boxes are left out.

        Only `train` and `dev` can be read: test files belong to nobody who trains or tunes.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split}")
        if dataset != OWN:
            return _photos(_read(self.root / dataset / f"{split}.json"), self.root / dataset / "images")
        file = self._own_file()
        photos = _photos(_read(file), self.own_images or file.parent)
        return [photo for photo in photos if _kept_for_dev(Path(photo.path).name) == (split == "dev")]

    def names(self, dataset: str) -> list[str]:
        """Return the class names of a set in the order of its COCO file.

        Raises ValueError where a name has a full stop, which separates the phrases of a caption.
        """
        file = self._own_file() if dataset == OWN else self.root / dataset / "train.json"
        names = [str(category["name"]) for category in _read(file)["categories"]]
        if wrong := [name for name in names if "." in name]:
            raise ValueError(f'{file}: a class name must have no full stop: "{wrong[0]}"; rename the category')
        return names

    def own_digest(self) -> str:
        """Return a hash of the user's COCO file and of where its photos lie; empty without one."""
        if self.own is None:
            return ""
        return hashlib.sha256(self.own.read_bytes() + str(self.own_images).encode()).hexdigest()

    def _own_file(self) -> Path:
        if self.own is None:
            raise ValueError(f"the recipe's set `{OWN}` is a COCO file of your own: name it with --coco")
        return self.own


@cache
def _read(path: Path) -> dict[str, Any]:
    coco: dict[str, Any] = json.loads(path.read_text())
    return coco


def _photos(coco: dict[str, Any], images: Path) -> list[TrainingPhoto]:
    category_names = {category["id"]: str(category["name"]) for category in coco["categories"]}
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
            photos.append(TrainingPhoto(images / image["file_name"], boxes, names))
    return photos


def _kept_for_dev(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % DEV_PART == 0
