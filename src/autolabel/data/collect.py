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
from autolabel.data.pairing import nearest, pair
from autolabel.data.sources import Found, sources, walk
from autolabel.errors import DataError, ImageError
from autolabel.images import FORMATS, read_size
from autolabel.spec.data import DataSpec

CHUNK = 4096
TASK = 16
"""Headers that a thread reads at a time: handing them over one by one takes as long as reading them."""
OFFERS = 20
"""Missing names for which the nearest ones are looked for."""
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
        raise DataError(f"no images below {', '.join(data.images)}", hint=f"{', '.join(FORMATS)} are read")
    listing = chain([one], listing)
    if data.classes is not None:
        classes: tuple[str, ...] = tuple(data.classes)
        rows: Iterator[Input] = map(row_of, listing)
    elif data.captions is not None:
        classes, rows = by_caption(data.captions, listing)
    else:
        assert data.boxes is not None, "the spec's model asks for one of classes, captions, boxes"
        classes, rows = by_box(read_coco(data.boxes, masks=False), listing)
    places = {source.prefix: str(source.root) for source in roots}
    return Inputs(measure(rows, max_pixels=max_pixels, threads=threads), classes, places)


def row_of(found: Found) -> Input:
    """Make the row of a listed file."""
    message = MESSAGES.get(found.code, "")
    return Input(image=found.id, path=found.path, bytes=found.bytes, code=found.code, message=message)


class Listing:
    """The listed files, looked up by the names that a file of captions or boxes gives them."""

    def __init__(self, found: Iterable[Found], names: Iterable[str]) -> None:
        self.found = {item.id: item for item in found}
        self.pairing = pair(self.found, names)
        self.offers = OFFERS

    def row(self, name: str) -> Input:
        """Return the row for ``name``; a failed one where no listed file, or more than one, has that name."""
        image = self.pairing.image_of.get(name)
        if image is not None:
            how = self.pairing.inexact.get(name)
            notes = (f"found although its name differs from {name!r}: {how}",) if how else ()
            return replace(row_of(self.found[image]), notes=notes)
        if alike := self.pairing.ambiguous.get(name):
            told = ", ".join(sorted(alike)[:3])
            text = f"several images have that name: {told}" if len(alike) > 1 else f"another name means {told} as well"
            return Input(image=name, path="", code="ambiguous_name", message=text)
        offered = ", ".join(nearest(name, self.found)) if self.offers > 0 else ""
        self.offers -= 1
        text = "no image of that name below data.images" + (f"; nearest: {offered}" if offered else "")
        return Input(image=name, path="", code="missing", message=text)


def by_caption(path: str, found: Iterable[Found]) -> tuple[tuple[str, ...], Iterator[Input]]:
    """Return all phrases in order of appearance, and a row for every caption."""
    captions = read_captions(path)
    listing = Listing(found, (caption.file_name for caption in captions))
    classes = tuple(dict.fromkeys(phrase for caption in captions for phrase in caption.prompt.phrases))
    rows = (
        replace(listing.row(caption.file_name), phrases=caption.prompt.phrases, caption=caption.prompt.caption)
        for caption in captions
    )
    return classes, number(rows)


def by_box(coco: CocoBoxes, found: Iterable[Found]) -> tuple[tuple[str, ...], Iterator[Input]]:
    """Return the categories in the file's order, and a row with its given boxes for every image of the file."""
    order = {category: label for label, category in enumerate(coco.categories)}
    listing = Listing(found, (image.file_name for image in coco.images))

    def rows() -> Iterator[Input]:
        for image, given in coco.by_image():
            boxes = tuple(
                GivenBox(bbox=tuple(one.corners().tolist()), label=order[one.category_id], fields=one.fields())
                for one in given
            )
            row = listing.row(image.file_name)
            notes = (*row.notes, *(note for one in given if (note := one.note(image))))
            yield replace(row, boxes=boxes, notes=notes)

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
