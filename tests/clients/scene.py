"""One small data set with every oddity that exports meet, and its exports in every format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from autolabel.strategies import Exporter
from autolabel.types import Image, Instances, Labels, Prompt, Provenance, Rle
from autolabel.types.provenance import WeightSource
from autolabel_exporters import autolabel_exporters

CLASSES = ("red car", "é 猫", "dog")
SIZE = (60, 80)
TURNED = 0x0112
WEIGHTS = WeightSource(labeler="sam", file="model.safetensors", sha256="0" * 64, licence="apache-2.0")
PROVENANCE = Provenance(autolabel="0", plan="f" * 64, labelers=("sam",), weights=(WEIGHTS,), masks=True)


def mask(*parts: tuple[int, int, int, int], hole: tuple[int, int, int, int] | None = None) -> npt.NDArray[np.bool_]:
    """Return a mask of rectangles ``x1 y1 x2 y2``, less a hole."""
    made = np.zeros(SIZE, bool)
    for x1, y1, x2, y2 in parts:
        made[y1:y2, x1:x2] = True
    if hole is not None:
        made[hole[1] : hole[3], hole[0] : hole[2]] = False
    return made


@dataclass(frozen=True)
class Object:
    """One object of the scene."""

    label: int
    box: tuple[float, float, float, float]
    mask: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Photo:
    """One photo of the scene: 80x60 once upright."""

    name: str
    objects: Sequence[Object] = field(default_factory=tuple)
    turned: int = 1
    """Its EXIF orientation."""


PHOTOS = (
    Photo("a.jpg", [Object(0, (10, 5, 30, 20), mask((10, 5, 30, 20)))]),
    Photo("a.png", [Object(1, (10, 30, 40, 50), mask((10, 30, 40, 50), hole=(20, 36, 30, 42)))]),
    Photo("empty.jpg"),
    Photo("in/images/é 猫.jpg", [Object(2, (40, 5, 70, 15), mask((40, 5, 50, 15), (60, 8, 70, 12)))]),
    Photo("in/images/none.png"),
    Photo("in/two #1.jpg", [Object(1, (1, 2, 11, 22), mask((1, 2, 11, 22))), Object(0, (30, 6, 50, 26))]),
    Photo("labels/turned.jpg", [Object(0, (0, 0, 20, 10), mask((0, 0, 20, 10)))], turned=6),
    Photo("turned.png", [Object(2, (60, 40, 80, 60), mask((60, 40, 80, 60)))], turned=8),
)
PARTS = {"train": PHOTOS[:4], "val": PHOTOS[4:7], "test": PHOTOS[7:]}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "coco": ("coco", {"images": "copy"}),
    "coco polygons": ("coco", {"images": "upright", "segmentation": "polygons"}),
    "coco roboflow": ("coco", {"images": "upright", "layout": "roboflow"}),
    "coco datumaro": ("coco", {"images": "copy", "layout": "datumaro"}),
    "coco_results": ("coco_results", {}),
    "cvat": ("cvat", {"images": "link"}),
    "cvat, distinct stems": ("cvat", {"images": "link"}),
    "cvat boxes": ("cvat", {"boxes": True}),
    "cvat polygons": ("cvat", {"segmentation": "polygons"}),
    "kitti": ("kitti", {"images": "upright"}),
    "label_studio": ("label_studio", {"images": "copy"}),
    "label_studio polygons": ("label_studio", {"segmentation": "polygons", "boxes": True}),
    "labelme": ("labelme", {"images": "copy"}),
    "labelme polygons": ("labelme", {"images": "copy", "segmentation": "polygons"}),
    "odvg": ("odvg", {"images": "link"}),
    "parquet": ("parquet", {}),
    "voc": ("voc", {"images": "copy"}),
    "voc origin=1": ("voc", {"images": "copy", "origin": 1}),
    "yolo": ("yolo", {}),
    "yolo upright": ("yolo", {"images": "upright"}),
    "yolo segments": ("yolo", {"segmentation": True}),
}
SPLIT = ("coco roboflow", "coco datumaro", "yolo")
"""Those that are exported in parts, too."""


def draw(root: Path) -> None:
    """Write the photos: noise, upright once their EXIF orientation is applied."""
    noise = np.random.default_rng(0)
    turns = {1: 0, 6: 1, 8: -1}
    for photo in PHOTOS:
        pixels = noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        exif = Pillow.Exif()
        if photo.turned != 1:
            exif[TURNED] = photo.turned
        path = root / photo.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(np.rot90(pixels, turns[photo.turned])).save(path, exif=exif)


def row(photo: Photo, root: Path) -> Labels:
    """Return a photo's row of the ledger."""
    found = Instances.build(
        [one.box for one in photo.objects],
        scores=[0.9 - 0.1 * index for index in range(len(photo.objects))],
        labels=[one.label for one in photo.objects],
        masks=[None if one.mask is None else Rle.encode(one.mask) for one in photo.objects] or None,
    )
    image = Image(id=photo.name, path=str(root / photo.name), size=SIZE)
    return Labels(image=image, prompt=Prompt(CLASSES), instances=found)


def build(folder: Path) -> None:
    """Write photos, truth and all exports below ``folder``."""
    draw(folder / "photos")
    offered = {one.name: one for one in autolabel_exporters()}
    for name, (kind, params) in VARIANTS.items():
        photos = [one for one in PHOTOS if one.name != "a.png"] if name.endswith("distinct stems") else PHOTOS
        export(offered[kind], params, folder / name, folder / "photos", photos=photos)
        if name in SPLIT:
            export(offered[kind], params, folder / f"{name}, split", folder / "photos", split=True)
    masks = {f"{photo.name}/{i}": one.mask for photo in PHOTOS for i, one in enumerate(photo.objects)}
    np.savez(folder / "masks.npz", **{name: made for name, made in masks.items() if made is not None})  # type: ignore[arg-type]
    truth = {photo.name: [{"class": CLASSES[one.label], "box": one.box} for one in photo.objects] for photo in PHOTOS}
    (folder / "truth.json").write_text(json.dumps(truth), "utf-8")


def export(
    kind: type[Exporter],
    params: dict[str, Any],
    out: Path,
    root: Path,
    *,
    photos: Sequence[Photo] = PHOTOS,
    split: bool = False,
) -> None:
    """Export the scene."""
    out.mkdir()
    exporter = kind(kind.Params(**params))
    exporter.provenance = PROVENANCE
    if split:
        parts = {name: [row(photo, root) for photo in some] for name, some in PARTS.items()}
        exporter.export_parts(parts, CLASSES, out)
    else:
        exporter.export([row(photo, root) for photo in photos], CLASSES, out)
