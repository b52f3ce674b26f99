"""The ledger, ``labels.jsonl``: one line for every row of the run, in the order of image and caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from autolabel.errors import DataError
from autolabel.plan.model import Plan
from autolabel.run import record
from autolabel.run.store import RunStore, publish
from autolabel.types import Labels

OPEN_FILES = 64


@dataclass(frozen=True, slots=True)
class Ledger:
    """The labels of a run, read one by one; may be walked more than once."""

    path: Path
    keep: Callable[[Labels], bool] | None = None
    """Leave out the rows that this says no to."""
    change: Callable[[Labels], Labels] | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    """Where images lie, by id; a ledger does not say."""

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
        if not self.paths:
            return record.decode(line)
        return record.decode(line, self.paths.get(record.outline(line).image, ""))


def read_labels(run: str | Path) -> Ledger:
    """Return the labels of a results directory, or of a ``labels.jsonl``."""
    path = Path(run)
    return Ledger(RunStore(path).labels if path.is_dir() else path)


def write_ledger(store: RunStore, plan: Plan) -> None:
    """Merge the last stage's shards into the ledger."""
    order: list[tuple[str, int, int, int, int]] = []
    stage = plan.stages[-1]
    for shard in plan.shards:
        offset = 0
        with store.shard(stage, shard.index).open("rb") as stream:
            for line in stream:
                row = record.outline(line)
                order.append((row.image, row.caption_index, shard.index, offset, len(line)))
                offset += len(line)
    order.sort()
    publish(store.labels, lines(store, plan, order), name="ledger")


def lines(store: RunStore, plan: Plan, order: list[tuple[str, int, int, int, int]]) -> Iterator[bytes]:
    """Yield lines in order from shards that are opened as they are needed, a bounded number at a time."""
    stage = plan.stages[-1]
    with ExitStack() as stack:
        streams: dict[int, BinaryIO] = {}
        for _, _, shard, offset, length in order:
            if shard not in streams:
                if len(streams) == OPEN_FILES:
                    stack.close()
                    streams.clear()
                streams[shard] = stack.enter_context(store.shard(stage, shard).open("rb"))
            streams[shard].seek(offset)
            yield streams[shard].read(length)
