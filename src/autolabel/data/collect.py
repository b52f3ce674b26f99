"""Collect the rows of a run from the spec's ``data`` section."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from msgspec.structs import replace

from autolabel.data.batches import batches
from autolabel.data.captions import Captions, read_captions
from autolabel.data.coco.faults import Faults
from autolabel.data.coco.read import CocoBoxes, notes_on, read_coco
from autolabel.data.described import Descriptions
from autolabel.data.given_boxes import fitted
from autolabel.data.inputs import GivenBox, Input
from autolabel.data.kitti import read_kitti
from autolabel.data.pairing import nearest_names, pair
from autolabel.data.skipped_files import NOT_NAMED, PassedOver
from autolabel.data.sources import NO_RESULTS, Results, inner, sources, walk_files
from autolabel.errors import DataError, ImageError
from autolabel.images import FORMATS, content_mark, page_name, read_header
from autolabel.spec.data import DataSpec
from autolabel.storage import at

_CHUNK = 4096
_TASK = 16
"""Headers that a thread reads at a time: handing them over one by one takes as long as reading them."""
_OFFERS = 20
"""Missing names for which the nearest ones are looked for."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The rows of a run, with the classes in the order of category ids."""

    rows: Iterable[Input]
    classes: tuple[str, ...]
    roots: dict[str, str]
    """The folders of the images, by the first parts of their ids."""
    passed_over: PassedOver
    """The files that are no rows, complete once the rows have been walked."""
    given: dict[str, Any]
    """All parts of the file of boxes except images and annotations; empty without one."""
    follow_symlinks: bool
    """Whether links that leave their folder were followed."""
    remarks: Callable[[], list[str]]
    """Notes on entries that were repaired or left out; complete once the rows have been walked."""


def collect(
    data: DataSpec,
    *,
    max_pixels: int,
    threads: int,
    results: Results = NO_RESULTS,
    descriptions: Descriptions | None = None,
    coco: CocoBoxes | None = None,
) -> Inputs:
    """List the rows of ``data``, each with its upright size or the reason why it cannot be used.

    Rows are unordered; files in ``results`` are excluded. Images without a caption get one from ``descriptions``, or
    are marked as ``wanting`` one. ``coco`` is the file of boxes if it has been read already. Raises DataError if a
    folder or file cannot be read, or nothing is found.
    """
    roots = sources(data.images)
    passed = PassedOver()
    listing = passed.sift(
        chain.from_iterable(walk_files(one, follow_symlinks=data.follow_symlinks, results=results) for one in roots)
    )
    if (one := next(listing, None)) is None:
        reasons = "".join(f"; {count:,} x {reason}" for reason, count in sorted(passed.counts.items()))
        raise DataError(f"no images below {', '.join(data.images)}{reasons}", hint=f"{', '.join(FORMATS)} are read")
    listing = chain([one], listing)
    if coco is None and data.boxes is not None and at(data.boxes).is_dir():
        files = list(listing)
        coco, listing = read_kitti(data.boxes, [one.image for one in files]), iter(files)
    elif coco is None and data.boxes is not None:
        coco = read_coco(data.boxes, masks=False)
    captions: Captions | None = None
    if data.classes is not None:
        classes: tuple[str, ...] = tuple(data.classes)
        rows: Iterator[Input] = listing
    elif data.captions is not None:
        file, described = data.captions_file, descriptions is not None
        captions = read_captions(file, described=described) if file is not None else Captions("", [], [], 0)
        classes, rows = _by_caption(captions, listing, passed, descriptions)
    else:
        assert coco is not None, "the spec's model asks for one of classes, captions, boxes"
        classes, rows = _by_box(coco, listing, passed)
    places = {source.prefix: str(source.root) for source in roots}
    every = data.pages == "all" and data.classes is not None
    measured = _measure(
        rows, max_pixels=max_pixels, threads=threads, every=every, rescale=data.rescale_boxes, several=passed.several
    )
    nested = [f"{root} lies inside another folder of images: its images count once" for root in inner(data.images)]
    faults = Faults("") if coco is None else coco.faults
    given = {} if coco is None else coco.rest()
    return Inputs(
        measured if descriptions is None else map(descriptions.fill, measured),
        classes,
        places,
        passed,
        given,
        data.follow_symlinks,
        lambda: [*nested, *notes_on(faults), *(captions.notes() if captions else ()), *passed.notices()],
    )


class _ListedImages:
    """The listed files, looked up by names from a file of captions or boxes."""

    def __init__(self, found: Iterable[Input], names: Iterable[str], passed: PassedOver, *, alone: bool = True) -> None:
        """Pair files with names; if ``alone``, images without a name are skipped."""
        self.found = {row.image: row for row in found}
        self.passed = passed
        names = list(names)
        self.pairing = pair(self.found, names)
        self.others = pair(passed.files, (name for name in names if name not in self.pairing.image_of))
        self.offers = _OFFERS
        named = set(self.pairing.image_of.values())
        self.unnamed = [image for image in self.found if image not in named]
        for image in self.unnamed if alone else ():
            passed.add(NOT_NAMED, image)

    def row(self, name: str) -> Input:
        """Return the row for ``name``; a failed row if it matches no listed file, or more than one."""
        image = self.pairing.image_of.get(name)
        if image is not None:
            how = self.pairing.inexact.get(name)
            notes = (f"found although its name differs from {name!r}: {how}",) if how else ()
            return replace(self.found[image], notes=notes)
        if (other := self.others.image_of.get(name)) is not None:
            return self.passed.named(name, other)
        if alike := self.pairing.ambiguous.get(name):
            names = ", ".join(sorted(alike)[:3])
            text = (
                f"several images have that name: {names}" if len(alike) > 1 else f"another name means {names} as well"
            )
            return Input(image=name, code="ambiguous_name", message=text)
        offered = ", ".join(nearest_names(name, self.found)) if self.offers > 0 else ""
        self.offers -= 1
        text = "no image of that name below data.images" + (f"; nearest: {offered}" if offered else "")
        return Input(image=name, code="missing", message=text)


def _by_caption(
    captions: Captions, found: Iterable[Input], passed: PassedOver, descriptions: Descriptions | None
) -> tuple[tuple[str, ...], Iterator[Input]]:
    """Return all phrases in order of appearance, and a row for every caption; an invalid one gives a failed row.

    With ``descriptions`` every image has a row; rows without a caption are marked as wanting one.
    """
    listing = _ListedImages(found, (line.image for line in captions), passed, alone=descriptions is None)
    image_of = listing.pairing.image_of
    told = {image_of.get(line.image) for line in captions if not line.wanting}
    lines = [line for line in captions if not (line.wanting and image_of.get(line.image) in told)]
    left = [] if descriptions is None else listing.unnamed
    wanted = sorted([*(image_of.get(line.image, "") for line in lines if line.wanting), *left])
    written = (descriptions.known[image] for image in wanted if descriptions and image in descriptions.known)
    phrases = chain((line.phrases or () for line in lines), (one.noun_chunks for one in written))
    classes = tuple(dict.fromkeys(chain.from_iterable(phrases)))

    def asked(line: Input) -> Input:
        row = listing.row(line.image)
        if line.wanting:
            return replace(row, phrases=(), wanting=not row.code)
        if line.code:
            row = replace(row, path="", code=row.code or line.code, message=row.message or line.message)
        elif not line.phrases:
            row = replace(row, notes=(*row.notes, "nothing is asked of it: its caption has no phrase"))
        return replace(row, phrases=line.phrases, caption=line.caption)

    unnamed = (listing.found[image] for image in sorted(left))
    rest = (replace(row, phrases=(), wanting=not row.code) for row in unnamed)
    return classes, number(chain(map(asked, lines), rest))


def _by_box(coco: CocoBoxes, found: Iterable[Input], passed: PassedOver) -> tuple[tuple[str, ...], Iterator[Input]]:
    """Return the categories in the file's order, and a row with its given boxes for every image of the file."""
    classes = tuple(dict.fromkeys(coco.categories.values()))
    label_of = {category: classes.index(name) for category, name in coco.categories.items()}
    listing = _ListedImages(found, (image.file_name for image in coco.images), passed)

    def rows() -> Iterator[Input]:
        for image, given in coco.by_image():
            row = listing.row(image.file_name)
            boxes, notes = [], list(row.notes)
            for one in given:
                _, fault = one.score()
                if fault:
                    notes.append(f"annotation {one.id} is left out: {fault}")
                    coco.faults.skip(f"annotation {one.id}", fault)
                    continue
                if "score" in one.extra and one.extra["score"] is None:
                    notes.append(f"annotation {one.id}: its score is null, 1 is taken")
                    coco.faults.remark(f"annotation {one.id}", "its score is null, 1 is taken")
                boxes.append(GivenBox(tuple(one.corners().tolist()), label_of[one.category_id], one.fields()))
            said = image.fields()
            yield replace(row, boxes=tuple(boxes), notes=tuple(notes), given=said, stated=image.stated)

    return classes, number(rows())


def number(rows: Iterable[Input]) -> Iterator[Input]:
    """Count the rows of each image from 0, in order of appearance."""
    seen: Counter[str] = Counter()
    for row in rows:
        yield replace(row, caption_index=seen[row.image])
        seen[row.image] += 1


def _measure(
    rows: Iterable[Input],
    *,
    max_pixels: int,
    threads: int,
    every: bool = False,
    rescale: bool = False,
    several: list[str] | None = None,
) -> Iterator[Input]:
    """Read the headers of all images in parallel; ``every`` makes each further page of a file a row.

    ``several`` collects the multi-page images of which only the first page is a row.
    """
    noted = [] if several is None else several

    def one(row: Input) -> Iterator[Input]:
        if row.code:
            yield row
            return
        try:
            header = read_header(row.path, max_pixels=max_pixels)
        except ImageError as error:
            yield replace(row, bytes=0, boxes=(), stated=(0, 0), code=error.code, message=error.message)
            return
        height, width = header.size
        size = row.bytes or os.stat(row.path).st_size  # noqa: PTH116
        known = replace(row, height=height, width=width, bytes=size, mark=content_mark(row.path))
        if header.pages > 1 and not every:
            note = f"holds {header.pages} pages or frames, of which the first is labelled"
            known = replace(known, notes=(*known.notes, note))
            noted.append(row.image)
        yield fitted(known, header, rescale=rescale)
        for page in range(2, header.pages + 1 if every else 2):
            yield from page_of(replace(row, mark=known.mark, bytes=size), page)

    def page_of(row: Input, page: int) -> Iterator[Input]:
        named = replace(row, image=page_name(row.image, page), path=page_name(row.path, page))
        try:
            height, width = read_header(named.path, max_pixels=max_pixels).size
            yield replace(named, height=height, width=width)
        except ImageError as error:
            yield replace(named, bytes=0, code=error.code, message=error.message)

    def some(rows: list[Input]) -> list[Input]:
        return list(chain.from_iterable(map(one, rows)))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for chunk in batches(rows, _CHUNK):
            yield from chain.from_iterable(pool.map(some, batches(chunk, _TASK)))
