"""The ledger, ``labels.jsonl``: one line for every row of the run, in the order of image and caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from autolabel.errors import DataError
from autolabel.external_sort import sort_lines
from autolabel.plan.model import Plan
from autolabel.results import record
from autolabel.results.store import RunStore, publish
from autolabel.storage import Location, at
from autolabel.types import Labels


@dataclass(frozen=True, slots=True)
class Ledger:
    """The labels of a run, read one by one; may be walked more than once."""

    path: Location
    keep: Callable[[Labels], bool] | None = None
    """Leave out the rows that this says no to."""
    change: Callable[[Labels], Labels] | None = None
    place_of: Callable[[str], str] | None = None
    """Tells where the image of an id lies; a ledger does not."""

    def __iter__(self) -> Iterator[Labels]:
        try:
            with self.path.open("rb") as stream:
                for line in stream:
                    labels = self.read(line)
                    if self.keep is None or self.keep(labels):
                        yield labels if self.change is None else self.change(labels)
        except FileNotFoundError:
            raise DataError(f"{self.path}: no labels here", hint="run `autolabel generate` first") from None

    def read(self, line: bytes) -> Labels:
        """Read one line."""
        labels = record.decode(line)
        if self.place_of is None or labels.reason is not None:
            return labels
        return replace(labels, image=replace(labels.image, path=self.place_of(labels.image.id)))


def read_labels(run: str | Location) -> Ledger:
    """Return the labels of a results directory, or of a ``labels.jsonl``."""
    path = at(run)
    return Ledger(RunStore(path).labels if path.is_dir() else path)


def write_ledger(store: RunStore, plan: Plan) -> None:
    """Merge the last stage's shards into the ledger, in memory that does not grow with it."""
    lines = (line for shard in plan.shards for line in store.lines(plan.stages[-1], shard.index))
    publish(store.labels, (line + b"\n" for line in sort_lines(lines, key=order)), name="ledger")


def order(line: bytes) -> tuple[str, int]:
    """Return what lines are sorted by."""
    row = record.outline(line)
    return row.image, row.caption_index
