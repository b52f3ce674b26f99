"""Read a folder of KITTI label files as given boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from autolabel.data.coco.document import cut_coco
from autolabel.data.coco.faults import Faults
from autolabel.data.coco.read import CocoBoxes, read_document
from autolabel.errors import DataError
from autolabel.storage import Location, at, read_regular

_MOST_BYTES = 16 << 20
_IGNORED = "DontCare"
"""The type of regions in which nothing was labelled."""
_WANTED = "wanted a type and at least 7 more fields, of which 4 to 7 are a box in pixels"
_SCORE = 15
"""The field that result files have beyond label files."""


def read_kitti(folder: str | Location, images: Iterable[str]) -> CocoBoxes:
    """Read ``**/*.txt``, an object a line: its type, three fields, then ``left top right bottom`` in pixels.

    A file is about that of ``images`` which has its name, whatever the extension. A 16th field from 0 to 1 is a score.
    A wrong line or file is left out and noted; regions of the type DontCare are no objects. Raises DataError if there
    is no label file, or none with a line that can be used.
    """
    place, faults = at(folder), Faults(str(folder))
    by_stem: dict[str, list[str]] = {}
    for image in images:
        by_stem.setdefault(_stem(image), []).append(image)
    listed: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for name in sorted(_names(place)):
        if not name.isprintable():
            faults.skip(ascii(name), "a name that is no text")
            continue
        stem = _stem(name)
        alike = by_stem.get(stem, [])
        found = list(_objects(place / name, name, faults))
        if not found and not alike:
            continue  # a file of something else
        listed.append({"id": len(listed) + 1, "file_name": alike[0] if len(alike) == 1 else stem})
        for kind, box in found:
            category = categories.setdefault(kind, len(categories) + 1)
            objects.append({"id": len(objects) + 1, "image_id": len(listed), "category_id": category, **box})
    if not objects:
        raise DataError(faults.left_out or f"{folder}: no file in it holds KITTI labels", hint=_WANTED)
    kinds = [{"id": number, "name": name} for name, number in categories.items()]
    text = msgspec.json.encode({"images": listed, "annotations": objects, "categories": kinds})
    return read_document(cut_coco(memoryview(text), str(folder)), faults, masks=False)


def _stem(name: str) -> str:
    """Return a relative path without its extension."""
    return str(PurePosixPath(name).with_suffix(""))


def _names(place: Location) -> Iterator[str]:
    """Yield the paths of label files below a folder, from there."""
    if isinstance(place, Path):
        yield from (path.relative_to(place).as_posix() for path in place.rglob("*.txt") if path.is_file())
    else:
        yield from (entry.name for entry in place.files() if entry.name.endswith(".txt"))


def _objects(path: Location, name: str, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the type of each object of a file, and its box and score as COCO has them."""
    try:
        lines = read_regular(path, most=_MOST_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        faults.skip(name, f"is not UTF-8 text: {error.reason}")
        return
    except (OSError, DataError) as error:
        faults.skip(name, f"cannot be read: {error}")
        return
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0] == _IGNORED:
            continue
        if (box := _box(fields)) is None:
            faults.skip(f"{name}:{number}", _WANTED)
        else:
            yield fields[0], box


def _box(fields: list[str]) -> dict[str, Any] | None:
    """Return the box of a line, and its score if it has one; None for a line without four finite numbers."""
    try:
        left, top, right, bottom = (float(field) for field in fields[4:8])
    except ValueError:
        return None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None
    box: dict[str, Any] = {"bbox": [left, top, right - left, bottom - top]}
    try:
        score = float(fields[_SCORE])
    except (ValueError, IndexError):
        return box
    return {**box, "score": score} if 0 <= score <= 1 else box
