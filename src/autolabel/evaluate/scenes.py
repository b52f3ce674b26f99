"""All images that the run and the truth file share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from autolabel.data.coco.read import CocoBoxes, CocoImage, read_coco
from autolabel.data.pairing import Pairing, pair
from autolabel.errors import DataError
from autolabel.evaluate.scene import Scene, truth_of, with_found
from autolabel.storage import Location
from autolabel.types import Labels, Size

MOST_PHRASES = 100_000
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes:
    """The shared images, in the order of the run, with the classes that are measured."""

    scenes: tuple[Scene, ...]
    classes: tuple[str, ...]
    """Names as the truth file has them: those that the run was asked for."""
    notes: tuple[str, ...]
    """What was left out, or needs care."""
    image_of: Mapping[str, str]
    """Images of the run by the names that the truth file gives them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the run was given."""

    sizes: Mapping[str, Size]
    phrases: frozenset[str]
    failed: frozenset[str]
    """Images with a row that failed."""


def gather(labels: Iterable[Labels], truth: str | Location) -> Scenes:
    """Bring the labels of a run and a COCO file together.

    An image that failed counts as one in which nothing was found. Raises DataError where the file is not sound, or
    where run and file have no image or no class in common.
    """
    asked, coco = survey(labels), read_coco(truth)
    pairing = pair(asked.sizes, [image.file_name for image in coco.images])
    classes = shared_classes(coco, asked)
    check(coco, pairing, classes)
    numbers = {plain(name): number for number, name in enumerate(classes)}
    true = true_scenes(coco, pairing, sizes=asked.sizes, numbers=numbers)
    return Scenes(
        scenes=tuple(complete(labels, true, numbers)),
        classes=classes,
        notes=(*notes(asked, coco, pairing), *omissions(coco, pairing, len(true), len(classes))),
        image_of=pairing.image_of,
    )


def shared_classes(coco: CocoBoxes, asked: Asked) -> tuple[str, ...]:
    """Return the classes of the file that the run was asked for; of names that are compared as equal, the first."""
    first: dict[str, str] = {}
    for name in coco.categories.values():
        if plain(name) in asked.phrases:
            first.setdefault(plain(name), name)
    return tuple(first.values())


def true_scenes(
    coco: CocoBoxes, pairing: Pairing, *, sizes: Mapping[str, Size], numbers: Mapping[str, int]
) -> dict[str, Scene]:
    """Return the shared images with nothing found yet; those that the file says another size of are left out."""
    category = {number: numbers.get(plain(name)) for number, name in coco.categories.items()}
    scenes: dict[str, Scene] = {}
    for image, objects in coco.by_image():
        found = pairing.image_of.get(image.file_name)
        if found is None or found in scenes or (size := common_size(image, sizes[found])) is None:
            continue
        try:
            scenes[found] = truth_of(objects, size, category.get)
        except ValueError as error:
            raise DataError(f"{coco.file}: {image.file_name}: {error}") from error
    return scenes


def complete(labels: Iterable[Labels], scenes: Mapping[str, Scene], numbers: Mapping[str, int]) -> Iterator[Scene]:
    """Yield the scenes in the order of the run, with what it found."""
    for image_id, rows in groupby(labels, key=lambda row: row.image.id):
        if image_id in scenes:
            yield with_found(scenes[image_id], list(rows), lambda phrase: numbers.get(plain(phrase)))


def survey(labels: Iterable[Labels]) -> Asked:
    """Return the run's images and phrases."""
    sizes: dict[str, Size] = {}
    phrases: set[str] = set()
    failed: set[str] = set()
    for row in labels:
        sizes[row.image.id] = row.image.size
        if row.reason is not None:
            failed.add(row.image.id)
        if len(phrases) < MOST_PHRASES:
            phrases.update(map(plain, row.prompt.phrases))
    return Asked(sizes, frozenset(phrases), frozenset(failed))


def plain(name: str) -> str:
    """Return a name as it is compared: letter case and spaces do not count."""
    return " ".join(name.casefold().split())


def common_size(image: CocoImage, size: Size) -> Size | None:
    """Return the size of an image; that of the file where the run could not read it; None where the two differ."""
    stated = None if image.height is None or image.width is None else (image.height, image.width)
    if 0 in size:
        return stated or size
    return size if stated in (None, size) else None


def check(coco: CocoBoxes, pairing: Pairing, classes: Collection[str]) -> None:
    """Raise DataError where there is nothing to measure."""
    if not pairing.image_of:
        hint = "compare file_name in the file with the names of the images"
        raise DataError(f"{coco.file}: none of its {len(coco.images)} images is in the run", hint=hint)
    if not classes:
        known = ", ".join(list(coco.categories.values())[:SHOWN])
        raise DataError(f"{coco.file}: the run was asked for none of its classes: {known}", hint="names must be equal")


def notes(asked: Asked, coco: CocoBoxes, pairing: Pairing) -> list[str]:
    """Return sentences on images that have no counterpart, or need care."""
    ambiguous = len(pairing.ambiguous)
    named = len({image.file_name for image in coco.images})
    return [
        *sentences(
            (named - len(pairing.image_of) - ambiguous, "image(s) of the truth file are not in the run"),
            (len(asked.sizes) - len(pairing.image_of), "image(s) of the run are not in the truth file"),
            (ambiguous, "name(s) in the truth file could mean several images"),
            (
                len(asked.failed.intersection(pairing.image_of.values())),
                "image(s) failed in the run: what is missed counts",
            ),
        ),
        *pairing.notes(),
    ]


def omissions(coco: CocoBoxes, pairing: Pairing, scenes: int, classes: int) -> list[str]:
    """Return sentences on what has a counterpart, and is left out nevertheless."""
    return sentences(
        (len(pairing.image_of) - scenes, "image(s) have another size in the truth file"),
        (len(coco.categories) - classes, "class(es) of the truth file were not asked for"),
    )


def sentences(*counted: tuple[int, str]) -> list[str]:
    """Return a sentence for each count that is not 0."""
    return [f"{count} {text}" for count, text in counted if count > 0]
