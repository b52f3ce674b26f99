"""The images and boxes that a training learns from, and those that choose among its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs

from autolabel.data.coco.read import read_coco
from autolabel.data.collect import collect
from autolabel.data.inputs import Input
from autolabel.duplicates import Groups
from autolabel.errors import DataError, ImageError
from autolabel.images import MAX_PIXELS, ValueRange, read_pixels
from autolabel.plan.model import Plan
from autolabel.results.checked import truth_at
from autolabel.results.seal import check_named
from autolabel.results.store import finished
from autolabel.run.duplicates import group_images
from autolabel.run.true_masks import with_masks
from autolabel.spec.data import DataSpec
from autolabel.storage import Location
from autolabel.types import Labels

_DEV = 0.2
"""The share of the images that are kept to choose among weights."""
_FEWEST = 2
_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReading:
    """How images are found and read."""

    follow_symlinks: bool = False
    """Whether links that leave the folders of images are followed."""
    value_range: ValueRange = None
    """The values that become black and white in images of more than 8 bits."""

    @classmethod
    def of(cls, plan: Plan) -> ImageReading:
        """Return how a run reads its images."""
        return cls(follow_symlinks=plan.manifest.follow_symlinks, value_range=plan.recipe.value_range)


PLAIN = ImageReading()
"""As a COCO file's images are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The training data."""

    rows: tuple[Labels, ...]
    classes: tuple[str, ...]
    groups: Groups
    marks: tuple[str, ...] = ()
    """The fingerprint of each row's file, see ``autolabel.images.content_mark``."""
    value_range: ValueRange = None
    notes: tuple[str, ...] = ()
    """What the file and the folders of images do not share."""
    left_out: tuple[str, ...] = ()
    """Images that cannot be learnt from, and why."""


def read_material(
    source: Location, images: Sequence[Location], *, masks: bool = False, reading: ImageReading = PLAIN
) -> Material:
    """Return the images of a COCO file, or the checked ones of a run, with their boxes, and a file's own masks."""
    with truth_at(source) as file:
        roots, reading = _places(source, images, reading)
        told = {"images": roots, "boxes": str(file), "follow_symlinks": reading.follow_symlinks}
        data = DataSpec.model_validate(told, context={"root": Path.cwd()})
        with_truth = masks and not source.is_dir()  # those of a run are a model's
        coco = read_coco(file, masks=with_truth)
        inputs = collect(data, max_pixels=MAX_PIXELS, threads=_THREADS, coco=coco)
        read = [_readable(row, reading) for row in inputs.rows]
        usable = [row for row in read if not row.code]
        notes = tuple(inputs.remarks())
        left_out = tuple(f"{row.image} is left out: {row.message}" for row in read if row.code)
        rows = tuple(_without_crowds(row.labels(inputs.classes)) for row in usable)
        if with_truth:
            rows = with_masks(rows, coco)
    if sum(bool(len(row.instances)) for row in rows) < _FEWEST:
        few = ": ".join([f"{source}: fewer than {_FEWEST} images with boxes to learn from", *(*notes, *left_out)[:1]])
        raise DataError(few, hint="check some images first: `autolabel review RUN`")
    files = [(row.image, row.path, row.mark) for row in usable]
    groups = group_images(files, value_range=reading.value_range)
    return Material(
        rows=rows,
        classes=inputs.classes,
        groups=groups,
        marks=tuple(row.mark for row in usable),
        value_range=reading.value_range,
        notes=notes,
        left_out=left_out,
    )


def _readable(row: Input, reading: ImageReading) -> Input:
    """Return a row, failed where its image cannot be decoded: a training reads every image many times."""
    if row.code:
        return row
    try:
        read_pixels(row.path, value_range=reading.value_range)
    except ImageError as error:
        return structs.replace(row, code=error.code, message=str(error))
    return row


def _without_crowds(row: Labels) -> Labels:
    """Return a row without its crowd regions, which are no single objects."""
    single = [one.get("iscrowd") != 1 for one in row.instances.given or ()]
    return row if all(single) else replace(row, instances=row.instances.take(np.array(single)))


def dev_part(material: Material) -> list[Labels]:
    """Return the dev images, one in five, with near-duplicates together.

    Images are ordered by a hash of their names. At least one image with boxes is a dev image, and never all of them:
    if all are near-duplicates of one another, none is, because images without boxes cannot choose among weights.
    """
    key_of = material.groups.key
    with_boxes = {key_of(row.image.id) for row in material.rows if len(row.instances)}
    without = {key_of(row.image.id) for row in material.rows} - with_boxes
    chosen: set[str] = set()
    for keys, least in ((with_boxes, 1), (without, 0)):
        count = max(least, round(_DEV * len(keys)))
        chosen |= set(sorted(keys, key=_hashed)[: min(count, len(keys) - least)])
    if not chosen & with_boxes:
        return []
    return [row for row in material.rows if key_of(row.image.id) in chosen]


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _places(source: Location, images: Sequence[Location], reading: ImageReading) -> tuple[list[str], ImageReading]:
    """Return the folders of the images, and how these are read: those of a run, as the run did."""
    folders = [str(folder) for folder in images]
    if not source.is_dir():
        return folders or [str(source).rpartition("/")[0] or "."], reading
    _, plan = finished(source)
    if not folders:
        check_named(source, plan)
    return folders or list(plan.manifest.roots.values()), ImageReading.of(plan)
