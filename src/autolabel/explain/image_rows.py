"""Find the rows of one image in the files of a run."""

from __future__ import annotations

import difflib

import msgspec

from autolabel.data import inputs
from autolabel.errors import DataError
from autolabel.plan.model import Plan
from autolabel.results import record
from autolabel.results.ledger import Ledger, checked_ledger, lines_of
from autolabel.results.store import RunStore
from autolabel.results.stored_rows import StoredRows
from autolabel.types import Labels

_SHOWN = 3


def labels_of(store: RunStore, plan: Plan, image: str) -> list[Labels]:
    """Return the labels of an image in the order of its captions.

    ``image`` is an id, or a suffix that only one id has. Raises DataError, with similar names, for any other.
    """
    labels = checked_ledger(store, plan)
    found = _rows_of(labels, image) or _rows_of(labels, _only_ending(store, image))
    return [labels.read(line, number) for number, line in found]


def inputs_of(store: RunStore, plan: Plan, image: str) -> list[Labels]:
    """Return the input rows of an image, in the order of its captions."""
    start = _beginning(image)
    lines = (line for line in StoredRows(store, plan) if line.startswith(start))
    rows = (plan.manifest.placed(inputs.decode_input(line)) for line in lines)
    return [row.labels(plan.manifest.classes) for row in sorted(rows, key=lambda row: row.caption_index)]


def _rows_of(labels: Ledger, image: str) -> list[tuple[int, bytes]]:
    """Return the numbered lines of a ledger about an image."""
    try:
        start = _beginning(image)
    except UnicodeEncodeError:  # bytes of the command line that are no text, as no row's name is
        return []
    return [(number, line) for number, line in enumerate(lines_of(labels.path), 1) if line.startswith(start)]


def _beginning(image: str) -> bytes:
    """Return the beginning of every line about an image."""
    return b'{"image":' + msgspec.json.encode(image) + b","


def _only_ending(store: RunStore, image: str) -> str:
    """Return the only image whose id ends with a path; raises DataError if there is none, or more than one."""
    try:
        names = list(dict.fromkeys(record.decode_head(line).image for line in lines_of(store.labels)))
    except record.RowError as error:
        raise DataError(f"{store.labels}: {error}", hint="`autolabel merge RUN` writes it again") from None
    found = [name for name in names if name.endswith("/" + image)]
    if len(found) == 1:
        return found[0]
    similar = found or difflib.get_close_matches(image, names, n=_SHOWN) or names
    hint = f"for example {', '.join(similar[:_SHOWN])}"
    raise DataError(
        f"{store.root}: {image!r} {'means several images' if found else 'is not an image of this run'}", hint=hint
    )
