"""Cache candidates in a folder that runs share, so that other thresholds need no forward passes."""

from __future__ import annotations

import hashlib
import logging
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.errors import ImageError
from autolabel.images import image_digest
from autolabel.plan.identity import answers_digest, canonical_digest, reduced
from autolabel.plan.model import Plan, Stage
from autolabel.results.store import TEMPORARY, publish
from autolabel.storage import FileEntry, Location, at, list_files, read_part
from autolabel.types import Instances, Labels, Prompt, Rle, Size
from autolabel.types.runs import totals

_log = logging.getLogger(__name__)

_SUFFIX = ".candidates"
HEAD = struct.Struct("<8sII")
_MAGIC = b"autolab1"
"""The start of every file, with its format version; the number of entries and the checksum of their index follow."""
_ENTRY = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("floor", "<f8"), ("offset", "<u8"), ("length", "<u4"), ("check", "<u4")]
)
_FOUND = np.dtype([*_ENTRY.descr, ("file", "<u4")])
_DAY = 86_400
_AS_IT_IS = "plain"
"""The look that changes nothing: its answers are those of a run without looks."""
_KEY = 16
"""Bytes of an entry's key."""
_LEVEL = 6
_MOST_BYTES = 64 << 20
"""The most bytes of one unpacked answer: a hundred thousand boxes with masks."""
"""The zlib compression level of answers."""


@dataclass(slots=True, eq=False)
class CandidateStore:
    """The cached answers of one detector with given weights and parameters, for any run.

    A file holds the answers for one shard of one run: it is written atomically, is never changed, and is named by its
    content. Damaged files and entries are ignored with one warning.
    """

    folder: Location
    files: list[Location] = field(default_factory=list)
    index: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, _FOUND))
    """All entries, sorted by ``high``."""
    fresh: list[tuple[bytes, float, bytes]] = field(default_factory=list)
    """Key, floor and packed answer of what was asked since the last ``flush``."""
    looks: dict[str, str] = field(default_factory=dict)
    """The identity of each look of the stage, by name; the look ``plain`` is not in it."""
    read_only: bool = False
    """Whether nothing is taken in, and the folder is left as it is."""

    @classmethod
    def open(cls, folder: Location, *, read_only: bool = False) -> CandidateStore:
        """Read the index of a folder; empty if it does not exist."""
        store = cls(folder, read_only=read_only)
        kept = sorted(_kept_in(folder) if read_only else _tidied(folder), key=lambda entry: entry.name)
        store.files = [folder / entry.name for entry in kept]
        parts = [_read_index(path, number, kept[number].size) for number, path in enumerate(store.files)]
        store.index = np.concatenate([store.index, *parts])
        store.index = store.index[np.argsort(store.index["high"], kind="stable")]
        return store

    @classmethod
    def of(cls, plan: Plan, stage: Stage, *, read_only: bool = False) -> CandidateStore | None:
        """Open the plan's store for the detector of a stage; None if the plan has none."""
        folder = plan.execution.candidates
        if folder is None or not stage.rounds:
            return None
        store = cls.open(at(folder) / answers_digest(stage)[:32], read_only=read_only)
        if stage.looks is not None:
            changed = zip(stage.looks.names, stage.looks.which, strict=True)
            store.looks = {name: canonical_digest(reduced(look)) for name, look in changed if look.type != _AS_IT_IS}
        return store

    @property
    def count(self) -> int:
        """The number of answers on disk when the store was opened."""
        return len(self.index)

    @property
    def size(self) -> int:
        """Bytes of those answers."""
        return int(self.index["length"].sum()) + len(self.index) * _ENTRY.itemsize

    def recall(self, key: bytes, floor: float) -> Instances | None:
        """Return the candidates above ``floor`` under a key; None if they were not cached down to ``floor``."""
        high, low = struct.unpack("<QQ", key)
        column, wanted = self.index["high"], np.uint64(high)
        for entry in self.index[np.searchsorted(column, wanted) : np.searchsorted(column, wanted, side="right")]:
            if entry["low"] == low and entry["floor"] <= floor:
                found = self.load(entry)
                if found is not None:
                    return found.take(found.scores > floor)
        return None

    def load(self, entry: np.void) -> Instances | None:
        """Read one answer; None, with a warning, if it is damaged."""
        path = self.files[int(entry["file"])]
        try:
            start = int(entry["offset"])
            packed = read_part(path, start, start + int(entry["length"]))
            if zlib.crc32(packed) == entry["check"]:
                return unpack_candidates(packed)
            fault = "its checksum is wrong"
        except (OSError, ValueError) as error:
            fault = str(error)
        _log.warning("%s: an answer cannot be used (%s); the detector runs again", path, fault)
        return None

    def keep(self, key: bytes, found: Instances, floor: float) -> None:
        """Add an answer, written to disk by the next ``flush``. Does nothing on a read-only store."""
        if self.read_only:
            return
        self.fresh.append((key, floor, pack_candidates(found)))

    def flush(self) -> None:
        """Publish the added answers as one file, if there are any."""
        if not self.fresh:
            return
        index, offset = b"", HEAD.size + len(self.fresh) * _ENTRY.itemsize
        for key, floor, packed in self.fresh:
            place = (*struct.unpack("<QQ", key), floor, offset, len(packed), zlib.crc32(packed))
            index += np.array([place], _ENTRY).tobytes()
            offset += len(packed)
        head = HEAD.pack(_MAGIC, len(self.fresh), zlib.crc32(index))
        pieces = [head, index, *(packed for _, _, packed in self.fresh)]
        name = hashlib.blake2b(b"".join(pieces), digest_size=_KEY).hexdigest()
        publish(self.folder / f"{name}{_SUFFIX}", pieces, name="candidates")
        self.fresh.clear()


def _read_index(path: Location, number: int, size: int) -> npt.NDArray[np.void]:
    """Return the entries of file ``number``, of ``size`` bytes.

    None, with a warning, if it is damaged.
    """
    out = np.zeros(0, _FOUND)
    try:
        head = read_part(path, 0, HEAD.size)
        magic, count, check = HEAD.unpack(head) if len(head) == HEAD.size else (b"", 0, 0)
        if magic != _MAGIC:
            raise ValueError("no file of candidates")
        end = HEAD.size + count * _ENTRY.itemsize
        if end > size or zlib.crc32(index := read_part(path, HEAD.size, end)) != check:
            raise ValueError("its index is cut short, or has the wrong checksum")
    except (OSError, ValueError) as error:
        _log.warning("%s: cannot be used (%s); its content is requested again", path, error)
        return out
    entries = np.frombuffer(index, _ENTRY)
    out = np.zeros(count, _FOUND)
    for name in _ENTRY.names or ():
        out[name] = entries[name]
    out["file"] = number
    return out


def _kept_in(folder: Location) -> Iterator[FileEntry]:
    """Yield the candidates' files of a folder."""
    return (entry for entry in list_files(folder) if entry.name.endswith(_SUFFIX))


def _tidied(folder: Location) -> Iterator[FileEntry]:
    """Yield the candidates' files of a folder, and remove stale temporary files."""
    for entry in list_files(folder):
        if entry.name.endswith(_SUFFIX):
            yield entry
        elif entry.name.endswith(TEMPORARY) and time.time() - entry.modified > _DAY:
            (folder / entry.name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, eq=False)
class ImageMemory:
    """The cached answers about one image, for its search."""

    store: CandidateStore
    image: str
    """Hash of the image file's bytes."""
    size: Size
    """(height, width) of the upright image."""
    floor: float

    def recall(self, prompt: Prompt) -> Instances | None:
        """Return the candidates above the floor for a prompt, None if they are not cached."""
        found = self.store.recall(self.key(prompt), self.floor)
        if found is None or self._fits(found, prompt):
            return found
        _log.warning("cached candidates are for other phrases, or another size of the image; the detector runs again")
        return None

    def _fits(self, found: Instances, prompt: Prompt) -> bool:
        sizes = all(mask is None or mask.size == self.size for mask in found.masks or ())
        return sizes and bool((found.labels < max(1, len(prompt.phrases))).all())

    def keep(self, prompt: Prompt, found: Instances) -> None:
        """Store the detector's answer to a prompt."""
        self.store.keep(self.key(prompt), found, self.floor)

    def key(self, prompt: Prompt) -> bytes:
        """Return the cache key of a prompt."""
        look = self.store.looks.get(prompt.look) if prompt.look is not None else None
        seen_as = [] if look is None else [look]
        asked = msgspec.json.encode([self.image, self.size, prompt.phrases, prompt.caption, *seen_as])
        return hashlib.blake2b(asked, digest_size=_KEY).digest()


def content_of(row: Labels) -> str:
    """Return the hash of a row's image; empty if it cannot be read, which decoding will report."""
    try:
        return image_digest(row.image.path)
    except ImageError:
        return ""


class _PackedCandidates(msgspec.Struct, frozen=True, array_like=True):
    """The columns of N candidates, little-endian: boxes (N, 4) float32, scores float32, labels int32; masks as RLE."""

    boxes: bytes
    scores: bytes
    labels: bytes
    masks: tuple[tuple[tuple[int, int], str] | None, ...] | None = None
    sources: tuple[tuple[str, ...], ...] | None = None
    notes: tuple[str, ...] = ()


_decoder = msgspec.msgpack.Decoder(_PackedCandidates)


def pack_candidates(found: Instances) -> bytes:
    """Encode candidates as bytes, without rounds and given fields."""
    masks = found.masks
    answer = _PackedCandidates(
        found.boxes.astype("<f4").tobytes(),
        found.scores.astype("<f4").tobytes(),
        found.labels.astype("<i4").tobytes(),
        None if masks is None else tuple(None if mask is None else (mask.size, mask.counts) for mask in masks),
        found.sources,
        found.notes,
    )
    return zlib.compress(msgspec.msgpack.encode(answer), _LEVEL)


def _whole_masks(masks: Sequence[tuple[tuple[int, int], str]]) -> bool:
    """Return whether masks are COCO strings whose runs add up to their sizes, without decoding them."""
    if not masks:
        return True
    pixels = np.asarray([height * width for (height, width), _ in masks], object)
    return bool((totals([counts for _, counts in masks]) == pixels).all())


def unpack_candidates(packed: bytes) -> Instances:
    """Decode candidates; raises ValueError for invalid bytes."""
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(packed, _MOST_BYTES)
        if not reader.eof:
            raise ValueError(f"not an answer: cut short, or of more than {_MOST_BYTES:,} bytes")
        answer = _decoder.decode(plain)
    except (zlib.error, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not an answer: {error}") from error
    masks, scores, labels = answer.masks, np.frombuffer(answer.scores, "<f4"), np.frombuffer(answer.labels, "<i4")
    boxes = np.frombuffer(answer.boxes, "<f4").reshape(-1, 4)
    if not (((scores >= 0) & (scores <= 1)).all() and (labels >= 0).all()):
        raise ValueError("an answer has an invalid score or label")
    if not _whole_masks([mask for mask in masks or () if mask is not None]):
        raise ValueError("an answer has a mask whose runs do not add up")
    found = Instances.build(
        boxes,
        scores=scores,
        labels=labels,
        masks=None if masks is None else [None if mask is None else Rle(*mask) for mask in masks],
        sources=answer.sources,
    )
    return replace(found, notes=answer.notes)
