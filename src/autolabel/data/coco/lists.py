"""Read and check the images and the categories of a COCO file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from autolabel.data.coco.entries import Category, CocoImage
from autolabel.data.coco.faults import Faults, translate
from autolabel.safe_names import fault_of

T = TypeVar("T", CocoImage, Category)


def read_images(raws: Sequence[msgspec.Raw], faults: Faults) -> list[CocoImage]:
    """Read the images: distinct ids, safe file names."""
    images = _parse(raws, CocoImage, "/images", faults)
    _distinct(images, lambda image: image.id, "/images", "id", faults)
    for number, image in images:
        if fault := fault_of(image.file_name):
            hint = "expected a path relative to the folder of images"
            faults.add(f"/images/{number}/file_name", f"{image.file_name!r} {fault}", hint=hint)
    return [image for _, image in images]


def read_categories(raws: Sequence[msgspec.Raw], faults: Faults) -> dict[int, str]:
    """Read the categories, id to name in the file's order: distinct ids and names, none empty."""
    categories = _parse(raws, Category, "/categories", faults)
    _distinct(categories, lambda category: category.id, "/categories", "id", faults)
    _distinct(categories, lambda category: category.name, "/categories", "name", faults)
    for number, category in categories:
        if not category.name.strip():
            faults.add(f"/categories/{number}/name", "is empty")
    return {category.id: category.name for _, category in categories}


def _parse(raws: Sequence[msgspec.Raw], kind: type[T], pointer: str, faults: Faults) -> list[tuple[int, T]]:
    decoder = msgspec.json.Decoder(kind)
    read = []
    for number, raw in enumerate(raws):
        try:
            read.append((number, decoder.decode(raw)))
        except msgspec.DecodeError as error:
            place, message = translate(error, raw)
            faults.add(f"{pointer}/{number}{place}", message)
    return read


def _distinct(
    items: Iterable[tuple[int, T]], key: Callable[[T], object], pointer: str, field: str, faults: Faults
) -> None:
    first: dict[object, int] = {}
    for number, item in items:
        earlier = first.setdefault(key(item), number)
        if earlier != number:
            faults.add(f"{pointer}/{number}/{field}", f"{key(item)!r} is taken by {pointer}/{earlier}")
