"""Lock a results directory for one driver at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from autolabel.errors import AutolabelError, BusyError, MachineError
from autolabel.results.failpoints import reach
from autolabel.storage import Location, Remote

_T = TypeVar("_T")
_BUSY_PAUSE = 0.1
"""Seconds between two tries to get what others hold."""
LOCK_RETRY_PAUSES = (0.01, 0.05, 0.2)
"""Seconds before each further try: who only looks (``holder``) has a lock for an instant."""
LEASE_SECONDS = 120.0
"""Seconds after which a lease that is not renewed expires."""
LEASE_RENEWAL_SECONDS = 20.0
"""Seconds between renewals."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNWRITABLE = _FULL | {
    errno.EROFS,
    errno.EIO,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}
_LONGEST = 400
"""Characters that a lock may have."""
_OURS = re.compile(r"(process [^\n]*\n?)?\0*")
"""The content of a lock file, also after a power cut."""
_REMOVE = "delete it if nothing of yours is in it, or choose another results_dir"
_HINT = "wait for it, or choose another results_dir"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, and since when (ISO 8601, UTC)."""

    name: str
    since: str


def holder(place: Location) -> Holder | None:
    """Return the holder of a lock, None if it is free; neither takes it nor writes anything."""
    if not place.exists():
        return None
    if isinstance(place, Path):
        with _opened(place, os.O_RDONLY) as stream:
            if _locked(stream, fcntl.LOCK_SH):
                return None
            return Holder(_named(stream), _clock(taken(place)))
    lease = _lease_at(place)
    return Holder(_leased(lease), _clock(float(lease.get("begun", 0)))) if _seconds_left(lease) > 0 else None


def is_lock(place: Location) -> bool:
    """Return whether there is a lock file written by autolabel."""
    if not isinstance(place, Path):
        return bool(_lease_at(place)) if place.exists() else False
    try:
        with _opened(place, os.O_RDONLY) as stream:
            return _OURS.fullmatch(stream.read(_LONGEST)) is not None
    except (OSError, ValueError, BusyError):
        return False


def _opened(file: Path, how: int) -> TextIO:
    """Open a lock; raises BusyError if it is a link, a pipe, or has several hard links."""
    try:
        handle = os.open(file, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise BusyError(
            f"{file}: is a link, a pipe or a folder, which no run of autolabel has made", hint=_REMOVE
        ) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise BusyError(f"{file}: is a hard link, which no run of autolabel has made", hint=_REMOVE)
    return os.fdopen(handle, "r" if how == os.O_RDONLY else "r+", encoding="utf-8", errors="replace")


def _lease_at(place: Remote) -> dict[str, Any]:
    """Return the content of a lease; empty if it is damaged or missing."""
    try:
        lease = json.loads(place.read_bytes() or b"{}")
    except (ValueError, RecursionError, FileNotFoundError):
        return {}
    good = isinstance(lease, dict) and all(type(lease.get(name, 0)) in (int, float) for name in ("begun", "renewed"))
    return lease if good else {}


def _clock(seconds: float) -> str:
    """Format a time as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _locked(stream: TextIO, how: int) -> bool:
    """Try to lock a file; return whether that succeeded."""
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _named(stream: TextIO) -> str:
    """Return the holder named in a lock file."""
    return _text_of(stream).strip() or "another process"


def _text_of(stream: TextIO) -> str:
    """Return the text of a lock."""
    stream.seek(0)
    return stream.read(_LONGEST)


def _leased(lease: dict[str, Any]) -> str:
    """Return the holder named in a lease."""
    return f"process {lease.get('process')} on {lease.get('host')}"


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """Lock a file of this machine; raises BusyError, naming the holder, if another process has it.

    The lock ends with the process that holds it, however that ends.
    """
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = _opened(file, os.O_RDWR | os.O_CREAT)
    with stream:
        for pause in (0.0, *LOCK_RETRY_PAUSES):
            time.sleep(pause)
            if _locked(stream, fcntl.LOCK_EX):
                break
        else:
            raise BusyError(f"{file.parent} is in use by {_named(stream)}", hint=_HINT)
        if not _OURS.fullmatch(whole := _text_of(stream)):
            raise BusyError(f"{file}: holds {whole[:40]!r}, which no run of autolabel has written", hint=_REMOVE)
        with writing(file.parent):
            reach("lock.taken")
            os.ftruncate(stream.fileno(), 0)
            os.pwrite(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield


def when_free(work: Callable[[], _T], *, seconds: float) -> _T:
    """Return what ``work`` returns, tried again for some seconds while others hold what it needs (BusyError)."""
    end = time.monotonic() + seconds
    while True:
        try:
            return work()
        except BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(_BUSY_PAUSE)


@contextmanager
def lease(target: Remote) -> Iterator[None]:
    """Hold and renew a lease object that names this process; raises BusyError if another process took it over.

    The lease of a dead process can be taken over at once on the same machine, elsewhere after LEASE_SECONDS seconds.
    """
    begun = time.time()
    _claim(target, begun)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(target, begun, ended), name="lease", daemon=True)
    renewing.start()
    try:
        reach("lock.taken")
        yield
    finally:
        ended.set()
        renewing.join()
        try:
            target.write_bytes(_written(begun, renewed=0))
        except AutolabelError as error:
            _log.warning("the lease could not be released and will expire: %s", error.message)


def _claim(target: Remote, now: float) -> None:
    """Write the lease, if there is none or the existing one has ended."""
    try:
        target.create(_written(now, renewed=now))
    except FileExistsError:
        lease = _lease_at(target)
        left = _seconds_left(lease)
        if left > 0:
            folder = str(target).rpartition("/")[0]
            hint = f"{_HINT}; if it has ended, the same command can start in {left:.0f} s"
            raise BusyError(f"{folder} is in use by {_leased(lease)}", hint=hint) from None
        target.write_bytes(_written(now, renewed=now))


def _seconds_left(lease: dict[str, Any]) -> float:
    """Return the remaining time of a lease; 0 for a dead process of this machine."""
    if lease.get("host") == socket.gethostname() and not Path(f"/proc/{lease.get('process')}").exists():
        return 0.0
    return float(lease.get("renewed", 0)) + LEASE_SECONDS - time.time()


def _renew(target: Remote, begun: float, ended: threading.Event) -> None:
    """Renew a lease until it is released."""
    while not ended.wait(LEASE_RENEWAL_SECONDS):
        try:
            target.write_bytes(_written(begun, renewed=time.time()))
        except AutolabelError as error:
            _log.warning("the lease could not be renewed: %s", error.message)


def _written(begun: float, *, renewed: float) -> bytes:
    """Return the lease of this process; a renewal time of 0 means released."""
    lease = {"process": os.getpid(), "host": socket.gethostname(), "begun": begun, "renewed": renewed}
    return json.dumps(lease).encode()


def taken(place: Location) -> float:
    """Return the time when a lock was last taken, in seconds; 0 if never."""
    if not place.exists():
        return 0.0
    if isinstance(place, Path):
        return place.stat().st_mtime
    return float(_lease_at(place).get("begun", 0))


@contextmanager
def writing(path: Location) -> Iterator[None]:
    """Convert errors of a full, read-only or forbidden disk to MachineError."""
    try:
        yield
    except OSError as error:
        if error.errno in _UNWRITABLE or isinstance(error, PermissionError):
            wanted = "free some space" if error.errno in _FULL else "make it writable"
            hint = f"{wanted} or choose another results_dir; the same command resumes"
            raise MachineError(f"{path}: cannot be written: {error.strerror}", hint=hint) from error
        raise
