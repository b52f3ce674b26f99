"""Use the completely checked images of a run as truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from autolabel.errors import DataError
from autolabel.plan.model import Plan
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import checked_ledger
from autolabel.results.review import Review, apply_to_row, is_checked
from autolabel.results.store import RunStore, finished
from autolabel.storage import Location, at, resolved
from autolabel.types import Labels
from autolabel.types.boxes import to_xywh

HINT = "check images in `autolabel review`: key C marks an image as checked"


def checked_images(store: RunStore, plan: Plan, review: Review) -> Iterator[tuple[str, list[Labels]]]:
    """Yield each image with all rows checked, with decisions applied; without failed images."""
    for image, group in groupby(checked_ledger(store, plan), key=lambda row: row.image.id):
        rows = list(group)
        if all(is_checked(row, review) and row.reason is None for row in rows):
            yield image, [apply_to_row(row, review, classes=plan.manifest.classes).inside() for row in rows]


def any_checked(store: RunStore) -> bool:
    """Return whether any image is completely checked."""
    review = read_decisions(store)
    return review is not None and any(one.key is None and one.verdict != "reject" for one in review.decisions)


@contextmanager
def truth_at(place: str | Location) -> Iterator[Location]:
    """Yield a COCO file of the truth: ``place`` itself, or for a run, a temporary file of its checked images.

    Raises DataError if it is a run without checked images.
    """
    location = at(place)
    if not location.is_dir():
        yield location
        return
    store, plan = finished(location)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"checked images of {resolved(location).name}"
        file.write_bytes(msgspec.json.encode(_coco(store, plan, str(place))))
        yield file


def _coco(store: RunStore, plan: Plan, run: str) -> dict[str, Any]:
    review = read_decisions(store)
    numbers = {name: number for number, name in enumerate(plan.manifest.classes, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, rows in checked_images(store, plan, review) if review is not None else ():
        height, width = rows[0].image.size
        images.append({"id": len(images) + 1, "file_name": image, "height": height, "width": width})
        for row in rows:
            annotations += _annotations(row, len(images), numbers, start=len(annotations) + 1)
    if not images:
        raise DataError(f"{run}: no image of this run is checked", hint=HINT)
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotations(row: Labels, image: int, numbers: dict[str, int], *, start: int) -> Iterator[dict[str, Any]]:
    found = row.instances
    masks = found.masks or (None,) * len(found)
    given = found.given or ({},) * len(found)
    boxes = to_xywh(found.boxes.astype("float64")).tolist()
    columns = zip(boxes, found.labels.tolist(), masks, given, strict=True)
    for number, (box, label, mask, fields) in enumerate(columns, start):
        category = numbers[row.prompt.phrases[label]]
        one = {"id": number, "image_id": image, "category_id": category, "bbox": box}
        one["iscrowd"] = int(fields.get("iscrowd") == 1)
        yield one | ({"segmentation": mask.as_coco()} if mask is not None else {})
