"""The input rows of a plan, as its results directory stores them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autolabel.plan.model import Plan
from autolabel.results.store import RunStore


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The rows of a plan's shards as lines of JSON, which ``decode_input`` reads; may be iterated more than once.

    Raises DataError if a shard's rows do not match their checksum.
    """

    store: RunStore
    plan: Plan
    """An extension may have left more rows in the file than those of the plan."""

    def __iter__(self) -> Iterator[bytes]:
        for shard in self.plan.manifest.shards:
            yield from self.store.rows(shard)
