"""The ledger, ``labels.jsonl``: one line for every row of the run, in the order of image and caption."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from autolabel.errors import DataError, Problem
from autolabel.external_sort import sort_lines
from autolabel.plan.model import PROVEN, Plan
from autolabel.results import checksum, record
from autolabel.results.store import STAGES, RunStore, publish
from autolabel.storage import Location, at, open_regular, resolved
from autolabel.types import Labels

_MOST_BYTES = 1 << 28
"""The most bytes of a line: half a million objects with masks."""
_WRITE_AGAIN = "`autolabel merge RUN` writes it again from the shards"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The labels of a run, read one by one; may be iterated more than once.

    Raises DataError, with file and line, at an invalid line.
    """

    path: Location
    keep: Callable[[Labels], bool] | None = None
    """Leave out the rows that this says no to."""
    change: Callable[[Labels], Labels] | None = None
    image_path: Callable[[str], str] | None = None
    """Returns the path of an image id, which a ledger does not contain."""
    classes: frozenset[str] | None = None
    """The classes of the run, which every phrase is one of; None if they are not known."""
    rows: int | None = None
    """The number of rows in the plan; None without a plan to check against."""
    decoded: Iterable[Labels] | None = None
    """All rows, decoded and with their image paths, to take in place of the file's."""

    def __iter__(self) -> Iterator[Labels]:
        for labels in self._read_all() if self.decoded is None else self.decoded:
            if self.keep is None or self.keep(labels):
                yield labels if self.change is None else self.change(labels)

    def _read_all(self) -> Iterator[Labels]:
        number, last = 0, None
        for number, line in enumerate(lines_of(self.path), 1):
            labels = self.read(line, number)
            name = labels.image.id, labels.caption_index
            if self.rows is not None and last is not None and name <= last:
                raise self._damage(number, f"{name} does not come after {last}, the row before it")
            last = name
            yield labels
        if self.rows is not None and number != self.rows:
            raise self._damage(number + 1, f"the ledger has {number:,} rows, and its plan has {self.rows:,}")

    def at(self, places: Collection[int]) -> Iterator[Labels]:
        """Yield the rows at some places of a walk that leaves none out; the others are passed over undecoded."""
        last = max(places, default=-1)
        for place, line in enumerate(islice(lines_of(self.path), last + 1)):
            if place in places:
                labels = self.read(line, place + 1)
                yield labels if self.change is None else self.change(labels)

    def read(self, line: bytes, number: int) -> Labels:
        """Read one line."""
        try:
            labels = record.decode_labels(line)
            if self.classes is not None and not self.classes.issuperset(labels.prompt.phrases):
                unknown = next(phrase for phrase in labels.prompt.phrases if phrase not in self.classes)
                raise record.RowError(f"/phrases: {unknown!r} is not a class of this run")
        except record.RowError as error:
            raise self._damage(number, str(error)) from None
        if self.image_path is None or labels.reason is not None:
            return labels
        return replace(labels, image=replace(labels.image, path=self.image_path(labels.image.id)))

    def _damage(self, number: int, said: str) -> DataError:
        return DataError(Problem(file=str(self.path), line=number, column=1, message=said, hint=_WRITE_AGAIN))


def lines_of(path: Location) -> Iterator[bytes]:
    """Yield the lines of a ledger with their newlines; raises DataError if it is not a ledger."""
    try:
        with open_regular(path) as stream:
            while line := stream.readline(_MOST_BYTES):
                if len(line) == _MOST_BYTES:
                    raise DataError(f"{path}: a line is longer than {_MOST_BYTES:,} bytes")
                yield line
    except FileNotFoundError:
        raise DataError(f"{path}: no labels here", hint="run `autolabel generate` first") from None


def read_labels(run: str | Location) -> Ledger:
    """Return the labels of a results directory, or of a ``labels.jsonl``.

    Raises DataError if they do not match their checksum.
    """
    place = at(run)
    if not place.is_dir():
        path = resolved(place)
        _check(path, proven=False)
        return Ledger(path)
    store = RunStore(place)
    plan = store.read_plan()
    _check(store.labels, proven=plan is not None and plan.version >= PROVEN)
    return Ledger(store.labels) if plan is None else ledger_of(store, plan)


def checked_ledger(store: RunStore, plan: Plan, **how: Any) -> Ledger:
    """Return the labels of a finished run; raises DataError if they do not match their checksum."""
    _check(store.labels, proven=plan.version >= PROVEN)
    return ledger_of(store, plan, **how)


def ledger_of(store: RunStore, plan: Plan, **how: Any) -> Ledger:
    """Return the labels of a finished run without checking them again."""
    return Ledger(store.labels, classes=frozenset(plan.manifest.classes), rows=plan.manifest.rows, **how)


def _check(path: Location, *, proven: bool) -> None:
    """Raise DataError unless a ledger matches the SHA-256 beside it; if ``proven``, the checksum must exist."""
    if fault := ledger_fault(path, proven=proven):
        raise DataError(f"{path}: is damaged: {fault}", hint=_WRITE_AGAIN)


def ledger_fault(path: Location, *, proven: bool) -> str:
    """Return what is wrong with a ledger's file; empty if nothing is wrong or there is no ledger."""
    wanted = checksum.stated_checksum(path)
    if not wanted:
        return f"there is no {checksum.checksum_file(path).name} beside it" if proven else ""
    try:
        return "" if checksum.of(path) == wanted else f"its SHA-256 is not that of {checksum.checksum_file(path).name}"
    except FileNotFoundError:
        return ""


def mend(store: RunStore, plan: Plan) -> None:
    """Rewrite a damaged ledger from the shards while holding the lock; raises DataError if shards are damaged too."""
    if fault := ledger_fault(store.labels, proven=plan.version >= PROVEN):
        _log.warning("%s: is damaged: %s; it is written again from the shards", store.labels, fault)
        write_ledger(store, plan)


def write_ledger(store: RunStore, plan: Plan) -> None:
    """Merge the last stage's shards into the ledger, in memory that does not grow with it; then its SHA-256."""
    stage, summed = plan.recipe.stages[-1], checksum.Sum()
    try:
        rows = sort_lines(store.all_lines(plan, stage), key=_order)
        publish(store.labels, summed.over(row + b"\n" for row in rows), name="ledger")
    except record.RowError as error:
        told = f"{store.root / STAGES / stage.name}: holds a line that no run writes: {error}"
        raise DataError(told, hint="start over with --fresh") from None
    publish(checksum.checksum_file(store.labels), [summed.line(store.labels.name)], name="checksum")


def _order(line: bytes) -> tuple[str, int]:
    """Return the sort key of lines."""
    row = record.decode_head(line)
    return row.image, row.caption_index
