"""Collect the rows of a run from what the spec's ``data`` section names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

from msgspec.structs import replace

from autolabel.data.captions import read_captions
from autolabel.data.coco.read import CocoBoxes, read_coco
from autolabel.data.inputs import GivenBox, Input
from autolabel.data.sources import Found, sources, walk
from autolabel.errors import DataError, ImageError
from autolabel.images import read_size
from autolabel.spec.data import DataSpec

CHUNK = 4096
TASK = 16
"""Headers that a thread reads at a time: handing them over one by one takes as long as reading them."""
MESSAGES = {
    "bad_name": "the file's name is not valid UTF-8, or no path below its folder; rename it",
    "outside_root": "a link that leaves the folder; set data.follow_symlinks to follow it",
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The rows of a run, with the classes that category ids follow."""

    rows: Iterable[Input]
    classes: tuple[str, ...]
    roots: dict[str, str]
    """The folders of the images, by the first part of their ids."""


def collect(data: DataSpec, *, max_pixels: int, threads: int) -> Inputs:
    """List the rows that ``data`` asks for, each with its upright size or the reason why it cannot be used.

    Rows come in no particular order. Raises DataError where a folder or file cannot be read or nothing is found.
    """
    roots = sources(data.images)
    listing = chain.from_iterable(walk(source, follow_symlinks=data.follow_symlinks) for source in roots)
    if (one := next(listing, None)) is None:
        raise DataError(
            f"no images below {', '.join(data.images)}", hint="JPEG, PNG, WebP, BMP, TIFF, GIF and AVIF are read"
        )
    listing = chain([one], listing)
    if data.classes is not None:
        classes: tuple[str, ...] = tuple(data.classes)
        rows: Iterator[Input] = map(row_of, listing)
    elif data.captions is not None:
        classes, rows = by_caption(data.captions, Listing(listing))
    else:
        assert data.boxes is not None, "the spec's model asks for one of classes, captions, boxes"
        classes, rows = by_box(read_coco(data.boxes, masks=False), Listing(listing))
    places = {source.prefix: str(source.root) for source in roots}
    return Inputs(measure(rows, max_pixels=max_pixels, threads=threads), classes, places)


def row_of(found: Found) -> Input:
    """Make the row of a listed file."""
    message = MESSAGES.get(found.code, "")
    return Input(image=found.id, path=found.path, bytes=found.bytes, code=found.code, message=message)


class Listing:
    """Looks up listed files by the names that people write: an id, a path below any root, or a base name."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.by_name: dict[str, list[Found]] = {}
        self.spread: set[str] = set()
        """Base names of several files, of which longer names have been noted too."""
        for item in found:
            self.by_name.setdefault(item.id.rpartition("/")[2], []).append(item)

    def find(self, name: str) -> list[Found]:
        """Return the files whose id is ``name`` or ends with ``/name``."""
        base = name.rpartition("/")[2]
        alike = self.by_name.get(base, [])
        if len(alike) == 1:
            return [item for item in alike if f"/{item.id}".endswith(f"/{name}")]
        if base not in self.spread:
            self.spread.add(base)
            for item in alike:
                parts = item.id.split("/")
                for start in range(len(parts) - 1):
                    self.by_name.setdefault("/".join(parts[start:]), []).append(item)
        return self.by_name.get(name, [])

    def row(self, name: str) -> Input:
        """Return the row for ``name``; a failed one where no listed file, or more than one, has that name."""
        matches = self.find(name.removeprefix("./"))
        exact = [item for item in matches if item.id == name]
        if len(matches) == 1 or exact:
            return row_of((exact or matches)[0])
        if matches:
            names = ", ".join(sorted(item.id for item in matches)[:3])
            return Input(image=name, path="", code="ambiguous_name", message=f"several images have that name: {names}")
        return Input(image=name, path="", code="missing", message="no image of that name below data.images")


def by_caption(path: str, listing: Listing) -> tuple[tuple[str, ...], Iterator[Input]]:
    """Return all phrases in order of appearance, and a row for every caption."""
    captions = read_captions(path)
    classes = tuple(dict.fromkeys(phrase for caption in captions for phrase in caption.prompt.phrases))
    rows = (
        replace(listing.row(caption.file_name), phrases=caption.prompt.phrases, caption=caption.prompt.caption)
        for caption in captions
    )
    return classes, number(rows)


def by_box(coco: CocoBoxes, listing: Listing) -> tuple[tuple[str, ...], Iterator[Input]]:
    """Return the categories in the file's order, and a row with its given boxes for every image of the file."""
    order = {category: label for label, category in enumerate(coco.categories)}

    def rows() -> Iterator[Input]:
        for image, given in coco.by_image():
            boxes = tuple(
                GivenBox(bbox=tuple(one.corners().tolist()), label=order[one.category_id], fields=one.fields())
                for one in given
            )
            notes = tuple(note for one in given if (note := one.note(image)))
            yield replace(listing.row(image.file_name), boxes=boxes, notes=notes)

    return tuple(coco.categories.values()), number(rows())


def number(rows: Iterable[Input]) -> Iterator[Input]:
    """Count the rows of each image from 0, in order of appearance."""
    seen: Counter[str] = Counter()
    for row in rows:
        yield replace(row, caption_index=seen[row.image])
        seen[row.image] += 1


def measure(rows: Iterable[Input], *, max_pixels: int, threads: int) -> Iterator[Input]:
    """Read every image's header, several at a time."""

    def one(row: Input) -> Input:
        if row.code:
            return row
        try:
            height, width = read_size(row.path, max_pixels=max_pixels)
            return replace(row, height=height, width=width, bytes=row.bytes or os.stat(row.path).st_size)  # noqa: PTH116
        except ImageError as error:
            return replace(row, bytes=0, code=error.code, message=error.message)

    def some(rows: list[Input]) -> list[Input]:
        return list(map(one, rows))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for chunk in chunks(rows, CHUNK):
            yield from chain.from_iterable(pool.map(some, chunks(chunk, TASK)))


def chunks(rows: Iterable[Input], size: int) -> Iterator[list[Input]]:
    """Cut rows into lists, so that a million of them never wait in the pool's queue at once."""
    source = iter(rows)
    while chunk := list(islice(source, size)):
        yield chunk
