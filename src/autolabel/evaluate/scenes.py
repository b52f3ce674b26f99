"""All images that the run and the truth file share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import groupby

from autolabel.data.coco.read import Annotation, CocoBoxes, CocoImage, read_coco
from autolabel.data.pairing import Pairing, pair
from autolabel.errors import DataError
from autolabel.evaluate.scene import Scene, truth_of, with_found
from autolabel.storage import Location
from autolabel.types import Labels, Size

_MOST_PHRASES = 100_000
_SHOWN = 10
_SIZE_HINT = (
    "the boxes must be those of the upright photo, with its width and height; a file without sizes is not compared"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scenes:
    """The shared images, in the order of the run, with the classes that are measured."""

    scenes: tuple[Scene, ...]
    classes: tuple[str, ...]
    """Names as the truth file has them: those that the run was asked for."""
    notes: tuple[str, ...]
    """Notes on entries that were left out or are doubtful."""
    image_of: Mapping[str, str]
    """Images of the run by the names that the truth file gives them."""
    images: tuple[str, ...] = ()
    """The image of each scene."""
    run_images: int = 0
    """Images of the whole run."""


@dataclass(frozen=True, slots=True)
class _RunInputs:
    """The inputs of the run."""

    sizes: Mapping[str, Size]
    phrases: frozenset[str]
    failed: frozenset[str]
    """Images with a row that failed."""


def gather_scenes(
    labels: Iterable[Labels], truth: str | Location, *, names: Mapping[str, str] | None = None
) -> _Scenes:
    """Match the labels of a run with a COCO file.

    ``names`` maps class names of the file to those of the run. A failed image counts as an image without found boxes;
    an image that the file lists twice has the objects of both entries. Raises DataError if the file is invalid, or if
    run and file have no image or no class in common.
    """
    asked, coco = _survey(labels), read_coco(truth)
    if names:
        coco = _renamed(coco, names, asked)
    pairing = pair(asked.sizes, [image.file_name for image in coco.images])
    classes = _shared_classes(coco, asked)
    _check(coco, pairing, classes, asked)
    numbers = {normalized_name(name): number for number, name in enumerate(classes)}
    true, other_size = _true_scenes(coco, pairing, sizes=asked.sizes, numbers=numbers)
    if not true:
        raise DataError(f"{coco.file}: {other_size[0]}", hint=_SIZE_HINT)
    return _Scenes(
        scenes=tuple(_complete(labels, true, numbers)),
        classes=classes,
        notes=(
            *_notes(asked, coco, pairing),
            *_omissions(other_size),
            *_unasked(coco, asked),
            *_masks_left_out(true),
            *coco.notes,
        ),
        image_of={name: image for name, image in pairing.image_of.items() if image in true},
        images=tuple(image for image in asked.sizes if image in true),
        run_images=len(asked.sizes),
    )


def _shared_classes(coco: CocoBoxes, asked: _RunInputs) -> tuple[str, ...]:
    """Return the classes of the file that the run searched for; of names that normalise to the same, the first."""
    first: dict[str, str] = {}
    for name in coco.categories.values():
        if normalized_name(name) in asked.phrases:
            first.setdefault(normalized_name(name), name)
    return tuple(first.values())


def _renamed(coco: CocoBoxes, names: Mapping[str, str], asked: _RunInputs) -> CocoBoxes:
    """Return the file with its classes renamed to the run's.

    Raises DataError if the file or the run has no such class.
    """
    known = {normalized_name(name) for name in coco.categories.values()}
    for own, other in names.items():
        if normalized_name(own) not in known:
            raise DataError(f"{coco.file}: no class is called {own!r}{_near(own, coco.categories.values())}")
        if normalized_name(other) not in asked.phrases:
            raise DataError(f"the run was asked for no class {other!r}{_near(other, asked.phrases)}")
    called = {normalized_name(own): other for own, other in names.items()}
    categories = {number: called.get(normalized_name(name), name) for number, name in coco.categories.items()}
    return replace(coco, categories=categories)


def _near(name: str, names: Iterable[str]) -> str:
    """Return the most similar names, as the end of a sentence."""
    by_plain = {normalized_name(one): one for one in names}
    alike = [by_plain[one] for one in get_close_matches(normalized_name(name), by_plain, 3)]
    return f"; nearest: {', '.join(alike)}" if alike else f"; there are {', '.join(list(by_plain.values())[:_SHOWN])}"


def _true_scenes(
    coco: CocoBoxes, pairing: Pairing, *, sizes: Mapping[str, Size], numbers: Mapping[str, int]
) -> tuple[dict[str, Scene], list[str]]:
    """Return the shared images with nothing found yet, and sentences on those of which the file states another size."""
    category = {number: numbers.get(normalized_name(name)) for number, name in coco.categories.items()}
    objects_of: dict[str, list[Annotation]] = {}
    size_of: dict[str, Size] = {}
    other_size: dict[str, str] = {}
    for image, objects in coco.by_image():
        found = pairing.image_of.get(image.file_name)
        if found is None:
            continue
        size = _common_size(image, sizes[found])
        if size is None:
            other_size.setdefault(found, _stated_otherwise(image, sizes[found]))
        else:
            size_of.setdefault(found, size)
            objects_of.setdefault(found, []).extend(objects)
    scenes = {found: truth_of(objects, size_of[found], category.get) for found, objects in objects_of.items()}
    return scenes, list(other_size.values())


def _stated_otherwise(image: CocoImage, size: Size) -> str:
    """Describe how the stated size of an image differs from the size that the run read."""
    turned = (
        ": that of the photo before it is turned upright by its EXIF orientation" if image.stated == size[::-1] else ""
    )
    return (
        f"{image.file_name} is {image.width}x{image.height} in the file, {size[1]}x{size[0]} as the run read it{turned}"
    )


def _complete(labels: Iterable[Labels], scenes: Mapping[str, Scene], numbers: Mapping[str, int]) -> Iterator[Scene]:
    """Yield the scenes in the order of the run, with what it found."""
    for image_id, rows in groupby(labels, key=lambda row: row.image.id):
        if image_id in scenes:
            yield with_found(scenes[image_id], list(rows), lambda phrase: numbers.get(normalized_name(phrase)))


def _survey(labels: Iterable[Labels]) -> _RunInputs:
    """Return the run's images and phrases."""
    sizes: dict[str, Size] = {}
    phrases: set[str] = set()
    failed: set[str] = set()
    for row in labels:
        sizes[row.image.id] = row.image.size
        if row.reason is not None:
            failed.add(row.image.id)
        if len(phrases) < _MOST_PHRASES:
            phrases.update(map(normalized_name, row.prompt.phrases))
    return _RunInputs(sizes, frozenset(phrases), frozenset(failed))


def normalized_name(name: str) -> str:
    """Return a name normalised for comparison: letter case and spaces are ignored."""
    return " ".join(name.casefold().split())


def _common_size(image: CocoImage, size: Size) -> Size | None:
    """Return the size of an image; that of the file where the run could not read it; None if the two differ."""
    stated = None if image.height is None or image.width is None else (image.height, image.width)
    if 0 in size:
        return stated or size
    return size if stated in (None, size) else None


def _check(coco: CocoBoxes, pairing: Pairing, classes: Collection[str], asked: _RunInputs) -> None:
    """Raise DataError if there is nothing to measure."""
    if not pairing.image_of:
        named = ", ".join(image.file_name for image in coco.images[:2])
        hint = f"the file names images such as {named}; the run has images such as {', '.join(list(asked.sizes)[:2])}"
        raise DataError(f"{coco.file}: none of its {len(coco.images)} images is in the run", hint=hint)
    if not classes:
        known = ", ".join(list(coco.categories.values())[:_SHOWN])
        phrases = ", ".join(sorted(asked.phrases)[:_SHOWN])
        hint = (
            f"say which is which, as in --map '{next(iter(coco.categories.values()), '')}=CLASS'; the run has {phrases}"
        )
        raise DataError(f"{coco.file}: the run has none of its classes: {known}", hint=hint)


def _notes(asked: _RunInputs, coco: CocoBoxes, pairing: Pairing) -> list[str]:
    """Return notes on images without a counterpart, or with other problems."""
    ambiguous = len(pairing.ambiguous)
    named = len({image.file_name for image in coco.images})
    return [
        *_sentences(
            (named - len(pairing.image_of) - ambiguous, "image(s) of the truth file are not in the run"),
            (len(asked.sizes) - len(pairing.image_of), "image(s) of the run are not in the truth file"),
            (ambiguous, "name(s) in the truth file could mean several images"),
            (
                len(asked.failed.intersection(pairing.image_of.values())),
                "image(s) failed in the run; their objects count as missed",
            ),
        ),
        *pairing.notes(),
    ]


def _omissions(other_size: Sequence[str]) -> list[str]:
    """Return a sentence on the images that are left out for their size, with the first of them."""
    return (
        [f"{len(other_size)} image(s) have another size in the truth file, such as {other_size[0]}"]
        if other_size
        else []
    )


def _unasked(coco: CocoBoxes, asked: _RunInputs) -> list[str]:
    """Return a note on the classes of the file that the run did not search for."""
    names = [name for name in dict.fromkeys(coco.categories.values()) if normalized_name(name) not in asked.phrases]
    if not names:
        return []
    names_shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    example = f"--map {names[0]}=CLASS" if " " not in names[0] else f"--map '{names[0]}=CLASS'"
    return [
        f"{len(names)} class(es) of the truth file were not asked for: {names_shown}; {example} measures one as another"
    ]


def _masks_left_out(scenes: Mapping[str, Scene]) -> list[str]:
    """Return a sentence on true objects whose mask cannot be read."""
    broken = sum(int(scene.broken.sum()) for scene in scenes.values())
    text = "true object(s) have a segmentation that cannot be read: their boxes count, their masks neither way"
    return _sentences((broken, text))


def _sentences(*counted: tuple[int, str]) -> list[str]:
    """Return a sentence for each count that is not 0."""
    return [f"{count} {text}" for count, text in counted if count > 0]
