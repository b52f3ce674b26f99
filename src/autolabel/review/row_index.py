"""An index of the ledger: offsets and sort keys, about 60 bytes per row."""

from __future__ import annotations

import bisect
import mmap
import os
import threading
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError, Problem
from autolabel.results import record
from autolabel.storage import Location, open_regular, read_part
from autolabel.types import Labels

_CHUNK = 1 << 20
"""Bytes of the ledger read at once."""
_NOTHING = 2.0
"""The least score of a row without boxes: after every score."""

Rows = npt.NDArray[np.int64]


class _IndexedBox(msgspec.Struct, frozen=True):
    """The fields of an instance that the index needs: masks are not decoded."""

    phrase: str
    score: float
    sources: tuple[str, ...] = ()
    verdict: float | None = None


class _IndexedRow(record.RowKey, frozen=True):
    """A row with its boxes as the index needs them."""

    instances: tuple[_IndexedBox, ...] = ()


_lines = msgspec.json.Decoder(_IndexedRow)
_keys = msgspec.json.Decoder(record.RowKey)


class RowIndex:
    """The rows of a ledger by number, in its order: sorted by image and caption.

    ``build`` fills it, possibly in another thread; the part indexed so far can be used at any time. Names are stored in
    an unnamed temporary file, everything else in arrays.
    """

    def __init__(self, ledger: Location, classes: Sequence[str], *, rows: int, labelers: int = 1) -> None:
        """Create an empty index for ``rows`` rows with ``labelers`` labelers per image."""
        self.ledger = ledger
        self.rows = rows
        self._file = open_regular(ledger)
        self.classes = {name: number for number, name in enumerate(classes)}
        self.labelers = labelers
        self.complete = False
        self.error: Exception | None = None
        self._offsets = array("q", [0])
        self._least = array("f")
        self._disputed = array("f")
        self._boxes = array("i")
        self._captions = array("i")
        self._class_starts = array("q", [0])
        self._class_ids = array("i")
        self._name_ends = array("q", [0])
        self._last: tuple[str, int] | None = None
        self._names = TemporaryFile()  # noqa: SIM115, it lives as long as the index
        self._grown = threading.Condition()

    def __len__(self) -> int:
        return len(self._name_ends) - 1

    def build(self) -> None:
        """Read the whole ledger; an error is stored for ``wait``."""
        try:
            for line, end in self._read():
                self._add(line, end)
            self._names.flush()
            if len(self) != self.rows:
                raise DataError(f"it has {len(self):,} rows, and its plan has {self.rows:,}")
        except (OSError, msgspec.DecodeError, DataError) as error:
            self.error = error
        with self._grown:
            self.complete = True
            self._grown.notify_all()

    def wait(self, rows: int | None = None, *, seconds: float) -> bool:
        """Wait until so many rows (None: all) are indexed; return whether they are."""
        with self._grown:
            self._grown.wait_for(lambda: self.complete or (rows is not None and len(self) >= rows), seconds)
        if self.error is not None:
            raise DataError(f"{self.ledger}: cannot be read: {self.error}") from self.error
        return self.complete or (rows is not None and len(self) >= rows)

    def labels(self, row: int) -> Labels:
        """Read a row; raises IndexError for an unknown number."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        start, end = self._offsets[row], self._offsets[row + 1]
        here = isinstance(self.ledger, Path)
        line = os.pread(self._file.fileno(), end - start, start) if here else read_part(self.ledger, start, end)
        try:
            return record.decode_labels(line)
        except record.RowError as error:
            raise DataError(Problem(file=str(self.ledger), line=row + 1, column=1, message=str(error))) from None

    def replaced(self) -> bool:
        """Return whether the indexed ledger file was replaced."""
        if not isinstance(self.ledger, Path):
            return False
        return not self.ledger.exists() or self.ledger.stat().st_ino != os.fstat(self._file.fileno()).st_ino

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._names.close()

    def name(self, row: int) -> str:
        """Return the image of a row."""
        start, end = self._name_ends[row], self._name_ends[row + 1]
        self._names.flush()
        return os.pread(self._names.fileno(), end - start - 1, start).decode("utf-8", "surrogatepass")

    def caption(self, row: int) -> int:
        """Return the caption index of a row."""
        return self._captions[row]

    def find(self, image: str, caption_index: int = 0) -> int | None:
        """Return the number of a row by name, None if there is none (or none yet)."""
        first = bisect.bisect_left(range(len(self)), image, key=self.name)
        row = first + caption_index
        return row if row < len(self) and self.name(row) == image else None

    def search(self, text: str) -> Rows:
        """Return the rows whose image name contains a text, ignoring ASCII case."""
        wanted = text.encode("utf-8", "surrogatepass").lower()
        self._names.flush()
        size = self._name_ends[-1]
        if not size:
            return np.zeros(0, np.int64)
        with mmap.mmap(self._names.fileno(), size, prot=mmap.PROT_READ) as names:
            places = list(_occurrences(names, wanted))
        ends = np.frombuffer(self._name_ends.tobytes(), np.int64)
        return np.unique(np.searchsorted(ends, np.asarray(places, np.int64), side="right") - 1)

    def least(self) -> npt.NDArray[np.float32]:
        """Return each row's lowest score, NOTHING without boxes."""
        return np.frombuffer(self._least.tobytes(), np.float32)

    def disputed(self) -> npt.NDArray[np.float32]:
        """Return for each row the share of labelers that did not find its most disputed box."""
        return np.frombuffer(self._disputed.tobytes(), np.float32)

    def boxes(self, row: int) -> int:
        """Return the number of boxes of a row."""
        return self._boxes[row]

    def least_of(self, row: int) -> float:
        """Return the lowest score of a row, NOTHING without boxes."""
        return self._least[row]

    def with_class(self, name: str) -> Rows:
        """Return the rows that have a box of a class."""
        number = self.classes.get(name)
        if number is None:
            return np.zeros(0, np.int64)
        places = np.flatnonzero(np.frombuffer(self._class_ids.tobytes(), np.int32) == number)
        starts = np.frombuffer(self._class_starts.tobytes(), np.int64)
        return np.unique(np.searchsorted(starts, places, side="right") - 1)

    def _read(self) -> Iterator[tuple[bytes, int]]:
        """Yield each line with its end offset."""
        place = 0
        with os.fdopen(os.dup(self._file.fileno()), "rb") if isinstance(self.ledger, Path) else self._file as stream:
            for line in stream:
                place += len(line)
                yield line, place

    def _add(self, line: bytes, end: int) -> None:
        row = _indexed(line)
        place = row.image, row.caption_index
        if self._last is not None and place <= self._last:
            raise DataError(f"line {len(self) + 1}: {place} does not come after {self._last}, the row before it")
        self._last = place
        name = row.image.encode("utf-8", "surrogatepass") + b"\n"
        scores = [box.score if box.verdict is None else min(box.score, box.verdict) for box in row.instances]
        found = {self.classes.setdefault(box.phrase, len(self.classes)) for box in row.instances}
        supporters = [len(box.sources) for box in row.instances if box.sources]
        self._names.write(name)
        self._offsets.append(end)
        self._least.append(min(scores, default=_NOTHING))
        self._disputed.append(1 - min(supporters, default=self.labelers) / max(1, self.labelers))
        self._boxes.append(len(scores))
        self._captions.append(row.caption_index)
        self._class_ids.extend(sorted(found))
        self._class_starts.append(len(self._class_ids))
        self._name_ends.append(self._name_ends[-1] + len(name))  # last, because it makes the row visible
        if not len(self) % 500:
            with self._grown:
                self._grown.notify_all()


def _indexed(line: bytes) -> _IndexedRow:
    """Decode a row for the index; without its boxes if one of them is wrong, which ``RowIndex.labels`` then says."""
    try:
        return _lines.decode(line)
    except msgspec.ValidationError:
        key = _keys.decode(line)
        return _IndexedRow(key.image, key.caption_index)


def _occurrences(names: mmap.mmap, wanted: bytes) -> Iterator[int]:
    """Yield the positions of a lower-case text; chunks overlap so that no match is missed."""
    overlap = max(0, len(wanted) - 1)
    size = len(names)
    for start in range(0, size, _CHUNK):
        piece = names[start : min(size, start + _CHUNK + overlap)].lower()
        place = piece.find(wanted)
        while 0 <= place < _CHUNK:
            yield start + place
            place = piece.find(wanted, place + 1)
