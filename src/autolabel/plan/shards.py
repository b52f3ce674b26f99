"""Sort rows so that batches are full, and split them into shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from autolabel.data.inputs import Input, decode_input, encode_input
from autolabel.external_sort import SpooledLines, sort_lines
from autolabel.plan.model import Shard
from autolabel.types import Size

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardedRows:
    """Rows in the order of their shards, as lines of JSON."""

    lines: SpooledLines
    shards: tuple[Shard, ...]


def shard_rows(rows: Iterable[Input], *, key: Callable[[Size], Key], shard_size: int) -> ShardedRows:
    """Sort rows by (batch key, image, caption) and split them every ``shard_size``, keeping an image's rows together.

    Memory does not grow with the number of rows.
    """
    known = cache(key)

    def place(line: bytes) -> tuple[Key, str, int]:
        row = decode_input(line)
        return known((row.height, row.width)) if not row.code else (), row.image, row.caption_index

    def shards() -> Iterator[Shard]:
        for index, group in enumerate(_images_together(sort_lines(map(encode_input, rows), key=place), shard_size)):
            yield shard_of(index, group, spool)

    spool = SpooledLines()
    return ShardedRows(spool, tuple(shards()))


def shard_of(index: int, lines: list[bytes], spool: SpooledLines) -> Shard:
    """Append the lines of a shard to a spool; return their offsets and checksum."""
    start, end = spool.extend(lines)
    sha256 = hashlib.sha256(b"\n".join([*lines, b""])).hexdigest()
    return Shard(index, len(lines), start, end - start, sha256)


def _images_together(lines: Iterable[bytes], shard_size: int) -> Iterator[list[bytes]]:
    """Split sorted lines into lists of at least ``shard_size`` (the last may be shorter), not splitting images."""
    group: list[bytes] = []
    for _, rows in groupby(lines, key=lambda line: decode_input(line).image):
        if len(group) >= shard_size:
            yield group
            group = []
        group += rows
    if group:
        yield group
