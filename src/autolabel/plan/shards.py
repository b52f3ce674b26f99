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
    """Rows in the order of their shards, as lines of JSON."""

    lines: list[bytes]
    shards: tuple[Shard, ...]

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
    return lay(list(map(encode, ordered)), [end - start for start, end in zip([0, *ends], ends, strict=False)])


def lay(lines: list[bytes], counts: Iterable[int]) -> Cut:
    """Put lines into shards of so many rows each."""
    shards, start, offset = [], 0, 0
    for index, count in enumerate(counts):
        size = sum(len(line) + 1 for line in lines[start : start + count])
        shards.append(Shard(index, count, offset, size))
        start, offset = start + count, offset + size
    return Cut(lines, tuple(shards))


def fingerprint(rows: Iterable[Input]) -> str:
    """Return the SHA-256 of what rows are: whatever their order, and wherever the images lie."""
    sha = hashlib.sha256()
    for line in sorted(map(identity, rows)):
        sha.update(line + b"\n")
    return sha.hexdigest()


def identity(row: Input) -> bytes:
    """Return what a row is, without where its image lies."""
    return encode(replace(row, path=""))


def boundaries(images: Sequence[str], shard_size: int) -> list[int]:
    """Return the ends of consecutive shards of at least ``shard_size`` rows (the last may be shorter)."""
    ends: list[int] = []
    start = 0
    for index in range(1, len(images)):
        if index - start >= shard_size and images[index] != images[index - 1]:
            ends.append(index)
            start = index
    return [*ends, len(images)] if images else []
