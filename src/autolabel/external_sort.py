"""Store and sort lines that may not fit in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from tempfile import SpooledTemporaryFile, gettempdir
from typing import Any

from autolabel.errors import MachineError

IN_MEMORY = 4 << 20
"""Bytes of a spool that stay in memory; more go to a file in the temporary folder (TMPDIR)."""
BLOCK = 1 << 18
CHUNK = 32 << 20
"""Bytes of lines that are sorted at once."""
OVERHEAD = 64
"""The memory overhead, in bytes, of a line as a Python object."""


class SpooledLines:
    """Lines that are added once and can be iterated often, in an unnamed temporary file."""

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self.size = 0
        """Bytes, a newline for every line."""

    def __del__(self) -> None:
        self.file.close()

    def add(self, line: bytes) -> None:
        """Add a line, given without its newline."""
        self.extend([line])

    def extend(self, lines: Iterable[bytes]) -> tuple[int, int]:
        """Add lines; return where they start and end."""
        start, source = self.size, iter(lines)
        while some := list(islice(source, 1000)):
            text = b"\n".join([*some, b""])
            with _on_disk():
                self.file.seek(self.size)  # ``lines`` may have moved the position
                self.file.write(text)
            self.size += len(text)
        return start, self.size

    def text(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes between two offsets, in chunks."""
        end = self.size if end is None else end
        while start < end:
            with _on_disk():
                self.file.seek(start)
                piece = self.file.read(min(BLOCK, end - start))
            start += len(piece)
            yield piece

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the lines between two offsets, without their newlines."""
        rest = b""
        for piece in self.text(start, end):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole

    def __iter__(self) -> Iterator[bytes]:
        return self.lines()


@contextmanager
def _on_disk() -> Iterator[None]:
    """Turn a full or failing temporary folder into MachineError."""
    try:
        yield
    except OSError as error:
        hint = "free some space there, or name another folder in TMPDIR; the same command resumes"
        raise MachineError(f"{gettempdir()}: cannot be written: {error.strerror}", hint=hint) from error


def sort_lines(lines: Iterable[bytes], *, key: Callable[[bytes], Any], memory: int = CHUNK) -> Iterator[bytes]:
    """Yield lines without newlines sorted by ``key``; the sort is stable.

    Chunks of about ``memory`` bytes are sorted, written to disk, and merged.
    """
    spool = SpooledLines()
    runs: list[tuple[int, int]] = []
    for chunk in _chunks(lines, memory):
        chunk.sort(key=key)
        if not runs and sum(map(len, chunk)) + OVERHEAD * len(chunk) < memory:  # everything fits into memory
            yield from chunk
            return
        runs.append(spool.extend(chunk))
    yield from heapq.merge(*(spool.lines(*run) for run in runs), key=key)


def _chunks(lines: Iterable[bytes], memory: int) -> Iterator[list[bytes]]:
    """Split lines into lists of about so many bytes; only the last may be smaller."""
    chunk: list[bytes] = []
    held = 0
    for line in lines:
        chunk.append(line)
        held += len(line) + OVERHEAD
        if held >= memory:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk
