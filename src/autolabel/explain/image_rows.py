"""The rows of one image, found in the files of a run."""

from __future__ import annotations

import difflib

import msgspec

from autolabel.data import inputs
from autolabel.errors import DataError
from autolabel.results import record
from autolabel.results.store import RunStore
from autolabel.storage import Location
from autolabel.types import Labels

SHOWN = 3


def labels_of(store: RunStore, image: str) -> list[Labels]:
    """Return the labels of an image in the order of its captions.

    ``image`` is an id, or the end of the only one that ends so. Raises DataError, with similar names, for any other.
    """
    lines = lines_of(store.labels, image) or lines_of(store.labels, only_ending(store, image))
    return [record.decode(line) for line in lines]


def inputs_of(store: RunStore, image: str, *, classes: tuple[str, ...]) -> list[Labels]:
    """Return the rows of an image as they stood before any stage, in the order of its captions."""
    rows = [inputs.decode(line).labels(classes) for line in lines_of(store.inputs, image)]
    return sorted(rows, key=lambda row: row.caption_index)


def lines_of(path: Location, image: str) -> list[bytes]:
    """Return the lines of a file that speak of an image, whose id they all begin with."""
    start = b'{"image":' + msgspec.json.encode(image) + b","
    with path.open("rb") as stream:
        return [line for line in stream if line.startswith(start)]


def only_ending(store: RunStore, image: str) -> str:
    """Return the only image whose id ends with a path; raises DataError where there is none, or more than one."""
    with store.labels.open("rb") as stream:
        names = list(dict.fromkeys(record.outline(line).image for line in stream))
    found = [name for name in names if name.endswith("/" + image)]
    if len(found) == 1:
        return found[0]
    similar = found or difflib.get_close_matches(image, names, n=SHOWN) or names
    hint = f"for example {', '.join(similar[:SHOWN])}"
    raise DataError(
        f"{store.root}: {image!r} {'means several images' if found else 'is no image of this run'}", hint=hint
    )
