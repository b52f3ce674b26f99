"""The journal of a certificate: the draw, shown units and answers, written to disk before they are confirmed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from autolabel.certify import entry_form
from autolabel.certify.answers import Answer
from autolabel.certify.entry_form import Entry
from autolabel.errors import DataError, Problem
from autolabel.results import chain
from autolabel.results.chain import Chain
from autolabel.results.failpoints import reach
from autolabel.results.lock import writing
from autolabel.results.store import publish, sync_folder
from autolabel.storage import Location, open_regular, read_regular

MOST_BYTES = 1 << 30
"""The most bytes of a journal; millions of answers take a tenth of that."""


class CertificateJournal:
    """JSON lines; each object has a kind, its own checksum, and the checksum of the line before."""

    def __init__(self, path: Location) -> None:
        self.path = path

    def read(self) -> list[Entry]:
        """Return the entries; an incomplete last line was never confirmed, and is ignored.

        Raises DataError, with the line, if the file is damaged.
        """
        if not self.path.exists():
            return []
        *lines, _ = read_regular(self.path, most=MOST_BYTES).split(b"\n")
        links = Chain()
        entries = [self._entry(number, line, links) for number, line in enumerate(lines, 1)]
        if fault := entry_form.order_fault(entries):
            raise self._damage(*fault)
        return entries

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries and fsync them; raises MachineError if that fails, and then none of them counts."""
        if not isinstance(self.path, Path):
            before = self.path.read_bytes() if self.path.exists() else b""
            lines = before[: before.rfind(b"\n") + 1]
            self.path.write_bytes(lines + _linked(entries, _last_line(lines)))
            return
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            with self.path.open("ab") as stream:
                whole, last = self._whole(stream.tell())
                text = _linked(entries, last)
                stream.truncate(whole)
                try:
                    stream.write(text)
                    stream.flush()
                    reach("certificate.written")
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(whole)
                    raise
            if new:
                sync_folder(self.path.parent)

    def begin(self, entries: Iterable[Entry]) -> None:
        """Atomically replace the journal by a new one."""
        publish(self.path, [_linked(entries, b"")], name="certificate")

    def _whole(self, size: int, block: int = 1 << 16) -> tuple[int, bytes]:
        """Return the bytes up to the end of the last complete line, and that line."""
        with open_regular(self.path) as stream:
            while True:
                start = max(0, size - block)
                stream.seek(start)
                text = stream.read(size - start)
                end = text.rfind(b"\n") + 1
                if not start or b"\n" in text[: max(0, end - 1)]:
                    return start + end, _last_line(text[:end])
                block *= 8

    def _entry(self, number: int, line: bytes, links: Chain) -> Entry:
        try:
            return entry_form.read_entry(links.check(line))
        except (ValueError, RecursionError) as error:
            raise self._damage(number, str(error)) from error

    def _damage(self, number: int, said: str) -> DataError:
        hint = "restore the file from a copy, or move it away to begin again"
        return DataError(Problem(file=str(self.path), line=number, column=1, message=f"damaged: {said}", hint=hint))


def answered(answer: Answer) -> Entry:
    """Return the entry of an answer."""
    return {"answer": answer.as_dict()}


def shown_entry(ids: Iterable[str]) -> Entry:
    """Return the entry of units that were shown."""
    return {"shown": list(ids)}


def _linked(entries: Iterable[Entry], last: bytes) -> bytes:
    """Return entries as lines chained to a given line."""
    links = Chain()
    links.last = chain.told(last)
    return b"".join(links.link(json.dumps(entry, separators=(",", ":")).encode()) + b"\n" for entry in entries)


def _last_line(text: bytes) -> bytes:
    return text.removesuffix(b"\n").rpartition(b"\n")[2]
