"""The journal of a run's review: one action a line, appended and on disk before anybody is told."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autolabel.errors import DataError, Problem
from autolabel.results.decision import (
    MOST_BYTES,
    VERSION,
    Decision,
    Key,
    Review,
    Row,
    encode,
    encode_line,
    parse_review,
)
from autolabel.results.failpoints import reach
from autolabel.results.lock import writing
from autolabel.results.review import in_order
from autolabel.results.store import RunStore, publish, sync_folder
from autolabel.storage import read_part, read_regular


class Journal:
    """The decisions about a run as they stand: those of ``review.json``, then every action of the journal after it.

    ``review.json`` is a checkpoint: it says how many bytes of the journal it holds. One that does not say so was put
    there by hand, and is older than the whole journal. A last line without its end was never confirmed to anybody, and
    does not count.
    """

    def __init__(self, store: RunStore) -> None:
        """Read what there is; raises DataError where a file is damaged, with the line."""
        self.store = store
        self.rows: dict[Row, dict[Key, Decision]] = {}
        self.plan = ""
        self.position = 0
        """How many bytes of the journal are read."""
        self.seen: dict[str, Review] = {}
        """Actions by id, of those read from the journal since this object was made."""
        if store.review.exists():
            base = parse_review(read_regular(store.review, most=MOST_BYTES), file=str(store.review))
            held = base.journal or 0
            self.position = held if held <= self._size() else 0  # a journal that is shorter is another one
            self.take(base)
        self.follow()

    def __bool__(self) -> bool:
        return bool(self.rows)

    def take(self, action: Review) -> None:
        """Let an action change what stands."""
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
        """Read what others have appended since, and return it."""
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
        """Write an action, force it to disk, and let it count; return what others had appended before.

        An action whose id is there already is not written again. Raises MachineError where it cannot be written: then
        nothing of it is.
        """
        with self._alone() as handle:
            others = self.follow()
            if action.id and action.id in self.seen:
                return others
            line = encode_line(action)
            with writing(self.store.journal):
                self._write(handle, line)
            self.take(action)
            self.position += len(line)
        return others

    def decisions(self) -> Review:
        """Return what stands, sorted by row, whole-row decisions first."""
        sorted_rows = (in_order(self.rows[row].values()) for row in sorted(self.rows))
        standing = tuple(one for row in sorted_rows for one in row)
        return Review(version=VERSION, plan=self.plan, journal=self.position or None, decisions=standing)

    def checkpoint(self) -> Review:
        """Write ``review.json`` as things stand, and return it."""
        standing = self.decisions()
        publish(self.store.review, [encode(standing)], name="review")
        return standing

    def _size(self) -> int:
        place = self.store.journal
        if isinstance(place, Path):
            return place.stat().st_size if place.exists() else 0
        return len(place.read_bytes()) if place.exists() else 0

    def _parsed(self, text: bytes) -> Iterator[Review]:
        for number, line in enumerate(text.splitlines()):
            if line.strip():
                try:
                    yield parse_review(line, file=str(self.store.journal))
                except DataError as error:
                    raise DataError(self._damage(error, number)) from error

    def _damage(self, error: DataError, number: int) -> list[Problem]:
        before = read_part(self.store.journal, 0, self.position).count(b"\n")
        hint = "restore the file from a copy, or move it away: review.json holds what was written last"
        return [
            Problem(file=str(self.store.journal), line=before + number + 1, column=1, message=one.message, hint=hint)
            for one in error.problems[:1]
        ]

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the journal alone, ready to be appended to; another process's torn last line is cut off."""
        place = self.store.journal
        if not isinstance(place, Path):
            yield -1  # a store is written whole, under the lease of the run
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
    """Return what people have decided about this run, None where nobody has."""
    if not store.review.exists() and not store.journal.exists():
        return None
    return Journal(store).decisions()
