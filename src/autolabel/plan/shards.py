"""Sort rows so that batches are full, cut them into shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from autolabel.data.inputs import Input, encode
from autolabel.plan.model import Shard
from autolabel.types import Size

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows in the order of their shards, as lines of JSON, with the digest of what they are (not where)."""

    lines: list[bytes]
    shards: tuple[Shard, ...]
    sha256: str

    def text(self) -> Iterator[bytes]:
        """Yield the inputs file, piece by piece."""
        for line in self.lines:
            yield line
            yield b"\n"


def cut(rows: Iterable[Input], *, key: Callable[[Size], Key], shard_size: int) -> Cut:
    """Sort rows by (batch key, image, caption) and cut them every ``shard_size``; an image's rows stay together."""
    ordered = sorted(
        rows, key=lambda row: (key((row.height, row.width)) if not row.code else (), row.image, row.caption_index)
    )
    ends = boundaries([row.image for row in ordered], shard_size)
    sha = hashlib.sha256()
    lines = []
    for row in ordered:
        lines.append(encode(row))
        sha.update(encode(replace(row, path="")) + b"\n")
    shards, start, offset = [], 0, 0
    for index, end in enumerate(ends):
        size = sum(len(line) + 1 for line in lines[start:end])
        shards.append(Shard(index, end - start, offset, size))
        start, offset = end, offset + size
    return Cut(lines, tuple(shards), sha.hexdigest())


def boundaries(images: Sequence[str], shard_size: int) -> list[int]:
    """Return the ends of consecutive shards of at least ``shard_size`` rows (the last may be shorter)."""
    ends: list[int] = []
    start = 0
    for index in range(1, len(images)):
        if index - start >= shard_size and images[index] != images[index - 1]:
            ends.append(index)
            start = index
    return [*ends, len(images)] if images else []
