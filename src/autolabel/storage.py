"""Local and remote files and folders; remote ones are accessed through fsspec."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

from autolabel import http_client, urls
from autolabel.errors import DataError, MachineError, SpecError
from autolabel.urls import is_url as is_url

TRANSIENT = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENETDOWN, errno.EHOSTDOWN, errno.EBUSY}
    | {getattr(errno, "EREMOTEIO", errno.EIO)}
)
"""Errors of a disk, a file server or an object store that may be transient."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
"""Errors for too many open files, which are not the file's fault."""
PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds before each further try."""
_HINT = "check the address, the credentials and the network; the same command goes on from here"
_DEEPEST, _MOST_FOLDERS = 32, 1_000_000
"""Levels and number of remote folders that are listed."""
_LONGEST = 500
"""Characters of what a store says that are repeated."""
_LEAST, _MOST = 1 << 16, 1 << 23
"""Bytes of the first and of the largest request of a file that is read from its start."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a folder: its ``/``-separated path from there, its bytes, when it was written (0: not known)."""

    name: str
    size: int
    modified: float


def retry(work: Callable[[], _T], passing: Collection[int]) -> _T:
    """Return what ``work`` returns, tried again after each of PAUSES while it raises an OSError of those numbers."""
    for pause in PAUSES:
        try:
            return work()
        except OSError as error:
            if error.errno not in passing:
                raise
            time.sleep(pause)
    return work()


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder at a URL, with a subset of pathlib's methods.

    Credentials and endpoints are found by fsspec and the store's library in environment and configuration files. Every
    method raises MachineError if the store cannot be reached or refuses, FileNotFoundError if there is no such file.
    Transient errors are retried five times.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str | PurePath) -> Remote:
        below = name.as_posix() if isinstance(name, PurePath) else name
        return Remote(f"{self.url}/{below}") if below not in ("", ".") else self

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def exists(self) -> bool:
        """Return whether the file exists, or any file below it."""
        return bool(self._ask("exists"))

    def is_file(self) -> bool:
        """Return whether there is such a file."""
        return bool(self._ask("isfile"))

    def is_dir(self) -> bool:
        """Return whether any file exists below it."""
        return bool(self._ask("isdir"))

    def read_bytes(self) -> bytes:
        """Return a file's bytes, in one request."""
        return bytes(self._ask("cat_file"))

    def read_part(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets, fewer at the end of the file; one request."""
        try:
            return bytes(self._ask("cat_file", start=start, end=end)) if end > start else b""
        except MachineError as error:
            if "range" in error.message.lower() and isinstance(error.__cause__, OSError):
                return b""  # S3's answer to a range beyond the end
            raise

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Return the file as a seekable stream; request sizes grow during sequential reads."""
        return io.BufferedReader(_Pieces(self), _LEAST)

    def files(self) -> Iterator[FileEntry]:
        """Yield every file below, a folder at a time, in no particular order; none if there is no such folder."""
        pending = [""]
        seen: set[str] = set()
        while pending:
            below = pending.pop()
            if below.count("/") >= _DEEPEST or len(seen) > _MOST_FOLDERS:
                limits = f"lie deeper than {_DEEPEST} levels, or are more than {_MOST_FOLDERS:,}"
                message = f"{self.url}: folders below it {limits}"
                raise DataError(
                    message, hint="the folders of a server may contain each other; name the folders that hold images"
                )
            for kind, entry in (self / below)._listed():
                name = f"{below}/{entry.name}" if below else entry.name
                if kind == "file":
                    yield FileEntry(name, entry.size, entry.modified)
                elif name not in seen:
                    seen.add(name)
                    pending.append(name)

    def entries(self) -> Iterator[FileEntry]:
        """Yield the files of this folder alone; none if there is no such folder."""
        return (entry for kind, entry in self._listed() if kind == "file")

    def _listed(self) -> Iterator[tuple[str, FileEntry]]:
        system, top = self._system()
        try:
            found = self._call(partial(system.ls, top, detail=True))
        except FileNotFoundError:
            return
        for facts in found:
            path = facts["name"].rstrip("/")
            if path.lstrip("/") != top.lstrip("/"):  # a store may list a marker object of the folder
                yield facts["type"], FileEntry(path.rpartition("/")[2], int(facts.get("size") or 0), _modified(facts))

    def write_bytes(self, data: bytes) -> None:
        """Write a file atomically."""
        self._ask("pipe_file", data)

    def create(self, data: bytes) -> None:
        """Create a file atomically; raises FileExistsError if it exists."""
        self._ask("pipe_file", data, mode="create")

    def upload(self, file: Path) -> None:
        """Upload a local file."""
        system, path = self._system()
        self._call(partial(system.put_file, str(file), path))

    def upload_folder(self, folder: Path, names: list[str]) -> None:
        """Upload the files of a local folder, several at a time."""
        system, path = self._system()
        targets = [f"{path}/{name}" for name in names]
        self._call(partial(system.put, [str(folder / name) for name in names], targets))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete a file."""
        try:
            self._ask("rm_file")
        except FileNotFoundError:
            if not missing_ok:
                raise

    def _ask(self, method: str, *values: Any, **words: Any) -> Any:
        system, path = self._system()
        return self._call(partial(getattr(system, method), path, *values, **words))

    def _system(self) -> tuple[Any, str]:
        """Return fsspec's file system and the path in it, without caching of listings."""
        import fsspec

        try:
            more = http_client.client_options() if urls.scheme_of(self.url) in ("http", "https") else {}
            system, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **more)
        except ImportError as error:
            hint = "pip install 'autolabel-vision[s3]'" if self.url.startswith("s3") else "install what it names"
            raise MachineError(f"{self.url}: {error}", hint=hint) from error
        except ValueError as error:
            raise MachineError(f"{self.url}: {error}") from error
        return system, path.rstrip("/")

    def _call(self, work: Callable[[], _T]) -> _T:
        try:
            return retry(work, TRANSIENT)
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise MachineError(f"{self.url}: {said[:_LONGEST]}", hint=_HINT) from error


Location: TypeAlias = Path | Remote


def at(text: str | Path | Remote) -> Location:
    """Return a Remote for a URL, or a Path for a path or ``file://`` URL.

    Raises SpecError for a URL that is not allowed (``autolabel.urls``).
    """
    if not isinstance(text, str):
        return text
    if not is_url(text):
        return Path(text)
    fault, hint = urls.url_fault(text)
    if fault:
        raise SpecError(f"{urls.without_secrets(text)}: {fault}", hint=hint)
    if urls.scheme_of(text) == "file":
        return Path(unquote(urlsplit(text).path))
    return Remote(text.rstrip("/"))


def resolved(place: Location) -> Location:
    """Return a location with links resolved; circular links are left unresolved."""
    return place if isinstance(place, Remote) else Path(os.path.realpath(place))  # Path.resolve raises on a circle


def open_regular(place: Location) -> BinaryIO:
    """Open a file of autolabel's own for reading.

    Raises FileNotFoundError if it does not exist, DataError if it is a link, a pipe, a device or a folder, which
    autolabel does not write and which may block.
    """
    if isinstance(place, Remote):
        return place.open()
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        said = "is a link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
        raise DataError(f"{place}: {said}", hint="put the file itself there") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError(f"{place}: is not a regular file", hint="put the file itself there")
    return open(handle, "rb")  # noqa: PTH123 - a handle has no path


def read_regular(place: Location, *, most: int) -> bytes:
    """Return the bytes of a file opened by ``open_regular``; raises DataError if it has more than ``most``."""
    with open_regular(place) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise DataError(f"{place}: is larger than the {most:,} bytes that are read")
    return data


def read_part(place: Location, start: int, end: int) -> bytes:
    """Return the bytes of a file of our own between two offsets."""
    if isinstance(place, Remote):
        return place.read_part(start, end)
    with open_regular(place) as stream:
        stream.seek(start)
        return stream.read(end - start)


def list_files(folder: Location) -> Iterator[FileEntry]:
    """Yield the files of a folder; none if the folder does not exist."""
    if isinstance(folder, Remote):
        yield from folder.entries()
    elif folder.is_dir():
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # a temporary file, renamed meanwhile
                status = path.stat()
                yield FileEntry(path.name, status.st_size, status.st_mtime)


class _Pieces(io.RawIOBase):
    """A remote file, fetched in chunks: small ones first, for headers; larger ones during sequential reads."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.place = 0
        self.start = 0
        self.piece = b""
        self.next = _LEAST
        self.end: int | None = None
        """The file's size, once it is known."""

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can seek."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; relative to the end costs a request if the size is unknown."""
        if whence == io.SEEK_END and self.end is None:
            self.end = int(self.remote._ask("size"))
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.end or 0}[whence]
        self.place = max(0, origin + offset)
        return self.place

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer from the current chunk."""
        if not self.start <= self.place < self.start + len(self.piece):
            self.fetch()
        offset = self.place - self.start
        found = self.piece[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        self.place += len(found)
        return len(found)

    def fetch(self) -> None:
        """Fetch the chunk at a position; empty beyond the end."""
        in_order = self.place == self.start + len(self.piece)
        self.next = min(self.next * 4, _MOST) if in_order and self.piece else _LEAST
        beyond = self.end is not None and self.place >= self.end
        self.piece = b"" if beyond else self.remote.read_part(self.place, self.place + self.next)
        self.start = self.place
        if len(self.piece) < self.next and (self.piece or not self.place):
            self.end = self.start + len(self.piece)


def _modified(facts: Mapping[str, Any]) -> float:
    """Return a file's modification time, in seconds; file systems use different keys."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        value = facts.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0
