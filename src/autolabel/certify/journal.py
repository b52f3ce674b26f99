"""The journal of a certificate: the draw, what was shown, every answer; on disk before anybody is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autolabel.certify.answers import Answer, parse
from autolabel.errors import DataError, Problem
from autolabel.results.failpoints import reach
from autolabel.results.lock import writing
from autolabel.results.store import publish, sync_folder
from autolabel.storage import Location

Entry = dict[str, Any]
KINDS = ("draw", "round", "wanted", "shown", "answer")


class Journal:
    """Lines of JSON, each an object with one field that says what it is."""

    def __init__(self, path: Location) -> None:
        self.path = path

    def read(self) -> list[Entry]:
        """Return the entries; a last line without its end was never confirmed to anybody, and does not count.

        Raises DataError with the line where the file is damaged.
        """
        if not self.path.exists():
            return []
        *lines, _ = self.path.read_bytes().split(b"\n")
        return [self._entry(number, line) for number, line in enumerate(lines, 1)]

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries and force them to disk; raises MachineError where that cannot be, and nothing counts."""
        text = b"".join(map(_encoded, entries))
        if not isinstance(self.path, Path):
            before = self.path.read_bytes() if self.path.exists() else b""
            self.path.write_bytes(before[: before.rfind(b"\n") + 1] + text)
            return
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            with self.path.open("ab") as stream:
                whole = self._whole(stream.tell())
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
        """Write a new journal in place of the one that is there, whole or not at all."""
        publish(self.path, list(map(_encoded, entries)), name="certificate")

    def _whole(self, size: int, block: int = 1 << 16) -> int:
        """Return the bytes up to the end of the last whole line."""
        assert isinstance(self.path, Path)
        with self.path.open("rb") as stream:
            while size:
                start = max(0, size - block)
                stream.seek(start)
                if (end := stream.read(size - start).rfind(b"\n")) >= 0:
                    return start + end + 1
                size = start
        return 0

    def _entry(self, number: int, line: bytes) -> Entry:
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or len(entry) != 1 or next(iter(entry)) not in KINDS:
                raise ValueError(f"an entry is one of {', '.join(KINDS)}")
            if "answer" in entry:
                parse(entry["answer"])
        except (ValueError, RecursionError) as error:
            hint = "restore the file from a copy, or begin again with --redraw"
            raise DataError(
                Problem(file=str(self.path), line=number, column=1, message=f"damaged: {error}", hint=hint)
            ) from error
        return entry


def answered(answer: Answer) -> Entry:
    """Return the entry of an answer."""
    return {"answer": answer.as_dict()}


def shown(ids: Iterable[str]) -> Entry:
    """Return the entry of units that were shown."""
    return {"shown": list(ids)}


def _encoded(entry: Entry) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
