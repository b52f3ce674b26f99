"""The journal of a run's review: one action per line, written to disk before it is confirmed."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autolabel.errors import DataError, Problem
from autolabel.results import chain
from autolabel.results.chain import Chain
from autolabel.results.decision import (
    MOST_BYTES,
    VERSION,
    Decision,
    Key,
    Review,
    Row,
    encode_line,
    encode_whole,
    parse_review,
    parse_whole,
)
from autolabel.results.failpoints import reach
from autolabel.results.lock import writing
from autolabel.results.review import in_order
from autolabel.results.store import RunStore, publish, sync_folder
from autolabel.storage import read_part, read_regular

MOST_JOURNAL = 1 << 31
"""Bytes of a journal: 10 million decisions."""
_TAIL = 1 << 16
_RESTORE = "restore the file from a copy, or move it away: review.json holds the last snapshot"


class Journal:
    """The current decisions about a run: those of ``review.json``, then the later actions of the journal.

    ``review.json`` is a checkpoint: it states how many bytes of the journal it covers, and the checksum of the last
    covered line. Without that, it was copied there by hand, and precedes the whole journal. A journal that was moved
    away restarts from the checkpoint. An incomplete last line was never confirmed, and is ignored.
    """

    def __init__(self, store: RunStore) -> None:
        """Read the files; raises DataError, with the line, if one is damaged."""
        self.store = store
        self.rows: dict[Row, dict[Key, Decision]] = {}
        self.plan = ""
        self.position = 0
        """The number of bytes of the journal that were read."""
        self.seen: dict[str, Review] = {}
        """Actions by id, of those read from the journal since this object was made."""
        self._chain = Chain()
        if store.review.exists():
            base = parse_whole(read_regular(store.review, most=MOST_BYTES), file=str(store.review))
            self.position = self._held(base)
            self.take(base)
        self.follow()

    def __bool__(self) -> bool:
        return bool(self.rows)

    def take(self, action: Review) -> None:
        """Apply an action."""
        self.plan = action.plan
        if action.id:
            self.seen[action.id] = action
        for one in action.decisions:
            row = self.rows.setdefault(one.row, {})
            row.pop(one.key, None)
            if one.verdict != "forget":
                signed = {"reviewer": one.reviewer or action.reviewer, "time": one.time or action.time}
                row[one.key] = one.model_copy(update=signed)
            elif not row:
                del self.rows[one.row]

    def follow(self) -> list[Review]:
        """Read and return the actions that other processes have appended since."""
        size = self._size()
        if size <= self.position:
            return []
        text = read_part(self.store.journal, self.position, size)
        whole = text[: text.rfind(b"\n") + 1]
        actions = list(self._parsed(whole))
        for action in actions:
            self.take(action)
        self.position += len(whole)
        return actions

    def append(self, action: Review) -> list[Review]:
        """Write an action, fsync it, and apply it; return the actions that others had appended before.

        An action with a known id is not written again. Raises MachineError if writing fails; then nothing is applied.
        """
        with self._alone() as handle:
            others = self.follow()
            if action.id and action.id in self.seen:
                return others
            before = self._chain.last
            line = self._chain.link(encode_line(action).removesuffix(b"\n")) + b"\n"
            try:
                with writing(self.store.journal):
                    self._write(handle, line)
            except BaseException:
                self._chain.last = before
                raise
            self.take(action)
            self.position += len(line)
        return others

    def decisions(self) -> Review:
        """Return the current decisions, sorted by row, whole-row decisions first."""
        sorted_rows = (in_order(self.rows[row].values()) for row in sorted(self.rows))
        standing = tuple(one for row in sorted_rows for one in row)
        held, after = self.position or None, self._chain.last or None
        return Review(version=VERSION, plan=self.plan, journal=held, after=after, decisions=standing)

    def checkpoint(self) -> Review:
        """Write the current ``review.json``, and return it."""
        standing = self.decisions()
        publish(self.store.review, [encode_whole(standing)], name="review")
        return standing

    def _held(self, base: Review) -> int:
        """Return the offset of the first line after a checkpoint; raises DataError if the journal does not match."""
        size, held = self._size(), base.journal or 0
        if base.after is None:  # written by an older version, or by hand
            held = held if held <= size else 0
            self._chain.last = chain.told(self._line_before(held)) if held else ""
            return held
        self._chain.last = base.after
        if held <= size and chain.told(self._line_before(held)) == base.after:
            return held
        if not size or chain.named(self._first_line(size)) == base.after:
            return 0
        told = f"{self.store.journal}: lines are missing or changed that {self.store.review.name} was written from"
        raise DataError(told, hint=_RESTORE)

    def _line_before(self, end: int) -> bytes:
        """Return the complete line that ends at an offset, without its newline; empty if there is none."""
        length = _TAIL
        while True:
            start = max(0, end - length)
            text = read_part(self.store.journal, start, end)
            if not text.endswith(b"\n"):
                return b""
            place = text.rfind(b"\n", 0, -1)
            if place >= 0 or not start:
                return text[place + 1 : -1]
            length *= 8

    def _first_line(self, size: int) -> bytes:
        length = _TAIL
        while True:
            text = read_part(self.store.journal, 0, min(size, length))
            if b"\n" in text or length >= size:
                return text.partition(b"\n")[0]
            length *= 8

    def _size(self) -> int:
        place = self.store.journal
        if not place.exists():
            return 0
        size = place.stat().st_size if isinstance(place, Path) else len(place.read_bytes())
        if size > MOST_JOURNAL:
            raise DataError(f"{place}: is larger than the {MOST_JOURNAL:,} bytes that are read", hint=_RESTORE)
        return size

    def _parsed(self, text: bytes) -> Iterator[Review]:
        for number, line in enumerate(text.split(b"\n")):
            if line.strip():
                try:
                    yield parse_review(self._chain.check(line), file=str(self.store.journal))
                except DataError as error:
                    raise self._damage(error.problems[0].message, number) from error
                except ValueError as error:
                    raise self._damage(f"is damaged: {error}", number) from None

    def _damage(self, said: str, number: int) -> DataError:
        line = read_part(self.store.journal, 0, self.position).count(b"\n") + number + 1
        return DataError(Problem(file=str(self.store.journal), line=line, column=1, message=said, hint=_RESTORE))

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Lock the journal for appending, and truncate an incomplete last line of another process."""
        place = self.store.journal
        if not isinstance(place, Path):
            yield -1  # an object store is rewritten as a whole, under the run's lease
            return
        with writing(place):
            new = not place.exists()
            handle = os.open(place, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise DataError(f"{place}: not a file")
            fcntl.flock(handle, fcntl.LOCK_EX)
            if new:
                sync_folder(place.parent)
            yield handle
        finally:
            os.close(handle)

    def _write(self, handle: int, line: bytes) -> None:
        place = self.store.journal
        if not isinstance(place, Path):
            before = place.read_bytes() if place.exists() else b""
            place.write_bytes(before + line)
            return
        os.ftruncate(handle, self.position)
        try:
            reach("journal.writing")
            left = memoryview(line)
            while left:
                left = left[os.write(handle, left) :]
            reach("journal.written")
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self.position)
            raise
        reach("journal.synced")


def read_decisions(store: RunStore) -> Review | None:
    """Return the decisions about this run, None if there are none."""
    if not store.review.exists() and not store.journal.exists():
        return None
    return Journal(store).decisions()
