"""One driver in a results directory at a time."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from autolabel.errors import AutolabelError, BusyError, MachineError
from autolabel.results.failpoints import reach
from autolabel.storage import Location, Remote

LOCK_RETRY_PAUSES = (0.01, 0.05, 0.2)
"""Seconds before each further try: who only looks (``holder``) has a lock for an instant."""
LEASE_SECONDS = 120.0
"""Seconds after which a lease that nobody renewed has ended."""
LEASE_RENEWAL_SECONDS = 20.0
"""Seconds between renewals."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = FULL | {errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
LONGEST = 400
"""Characters that a lock may have."""
OURS = re.compile(r"(process [^\n]*\n?)?\0*")
"""What stands in a lock, also after a power cut."""
REMOVE = "delete it if nothing of yours is in it, or choose another results_dir"
HINT = "wait for it, or choose another results_dir"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, and since when (ISO 8601, UTC)."""

    name: str
    since: str


def holder(place: Location) -> Holder | None:
    """Return who holds a lock, None where nobody does; neither takes it nor writes anything."""
    if not place.exists():
        return None
    if isinstance(place, Path):
        with opened(place, os.O_RDONLY) as stream:
            if locked(stream, fcntl.LOCK_SH):
                return None
            return Holder(named(stream), clock(taken(place)))
    there = lease_at(place)
    return Holder(leased(there), clock(float(there.get("begun", 0)))) if seconds_left(there) > 0 else None


def is_lock(place: Location) -> bool:
    """Return whether there is a lock, and it is one that autolabel has written."""
    if not isinstance(place, Path):
        return bool(lease_at(place)) if place.exists() else False
    try:
        with opened(place, os.O_RDONLY) as stream:
            return OURS.fullmatch(stream.read(LONGEST)) is not None
    except (OSError, ValueError, BusyError):
        return False


def opened(file: Path, how: int) -> TextIO:
    """Open a lock; raises BusyError where it is a link, a pipe, or a file that has another name too."""
    try:
        handle = os.open(file, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise BusyError(
            f"{file}: is a link, a pipe or a folder, which no run of autolabel has made", hint=REMOVE
        ) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise BusyError(f"{file}: is no file of its own, which no run of autolabel has made", hint=REMOVE)
    return os.fdopen(handle, "r" if how == os.O_RDONLY else "r+", encoding="utf-8", errors="replace")


def lease_at(place: Remote) -> dict[str, Any]:
    """Return what a lease says; nothing where it is damaged or not there."""
    try:
        there = json.loads(place.read_bytes() or b"{}")
    except (ValueError, RecursionError, FileNotFoundError):
        return {}
    good = isinstance(there, dict) and all(type(there.get(name, 0)) in (int, float) for name in ("begun", "renewed"))
    return there if good else {}


def clock(seconds: float) -> str:
    """Return a time as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def locked(stream: TextIO, how: int) -> bool:
    """Return whether a file could be locked."""
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def named(stream: TextIO) -> str:
    """Return the holder that a locked file names."""
    return text_of(stream).strip() or "another process"


def text_of(stream: TextIO) -> str:
    """Return the text of a lock."""
    stream.seek(0)
    return stream.read(LONGEST)


def leased(there: dict[str, Any]) -> str:
    """Return the holder that a lease names."""
    return f"process {there.get('process')} on {there.get('host')}"


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """Lock a file of this machine; raises BusyError, naming the holder, where another process has it.

    The lock ends with the process that holds it, however that ends.
    """
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = opened(file, os.O_RDWR | os.O_CREAT)
    with stream:
        for pause in (0.0, *LOCK_RETRY_PAUSES):
            time.sleep(pause)
            if locked(stream, fcntl.LOCK_EX):
                break
        else:
            raise BusyError(f"{file.parent} is in use by {named(stream)}", hint=HINT)
        if not OURS.fullmatch(whole := text_of(stream)):
            raise BusyError(f"{file}: holds {whole[:40]!r}, which no run of autolabel has written", hint=REMOVE)
        with writing(file.parent):
            reach("lock.taken")
            os.ftruncate(stream.fileno(), 0)
            os.pwrite(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield


@contextmanager
def lease(target: Remote) -> Iterator[None]:
    """Hold an object of a store that names this process, and renew it; raises BusyError where another has renewed it.

    A holder that is gone is followed at once on its own machine, elsewhere when LEASE_SECONDS seconds have passed.
    """
    begun = time.time()
    claim(target, begun)
    ended = threading.Event()
    renewing = threading.Thread(target=renew, args=(target, begun, ended), name="lease", daemon=True)
    renewing.start()
    try:
        reach("lock.taken")
        yield
    finally:
        ended.set()
        renewing.join()
        try:
            target.write_bytes(written(begun, renewed=0))
        except AutolabelError as error:
            log.warning("the lease could not be given back, and ends by itself: %s", error.message)


def claim(target: Remote, now: float) -> None:
    """Write the lease; where there is one already, only if it has ended."""
    try:
        target.create(written(now, renewed=now))
    except FileExistsError:
        there = lease_at(target)
        left = seconds_left(there)
        if left > 0:
            folder = str(target).rpartition("/")[0]
            hint = f"{HINT}; if it is gone, the same command goes on in {left:.0f} s"
            raise BusyError(f"{folder} is in use by {leased(there)}", hint=hint) from None
        target.write_bytes(written(now, renewed=now))


def seconds_left(there: dict[str, Any]) -> float:
    """Return how long a lease still counts: none of a process of this machine that is gone."""
    if there.get("host") == socket.gethostname() and not Path(f"/proc/{there.get('process')}").exists():
        return 0.0
    return float(there.get("renewed", 0)) + LEASE_SECONDS - time.time()


def renew(target: Remote, begun: float, ended: threading.Event) -> None:
    """Renew a lease until it is given back."""
    while not ended.wait(LEASE_RENEWAL_SECONDS):
        try:
            target.write_bytes(written(begun, renewed=time.time()))
        except AutolabelError as error:
            log.warning("the lease could not be renewed: %s", error.message)


def written(begun: float, *, renewed: float) -> bytes:
    """Return the lease of this process; renewed at 0 it is one that was given back."""
    lease = {"process": os.getpid(), "host": socket.gethostname(), "begun": begun, "renewed": renewed}
    return json.dumps(lease).encode()


def taken(place: Location) -> float:
    """Return when a lock was last taken, in seconds; 0 where it never was."""
    if not place.exists():
        return 0.0
    if isinstance(place, Path):
        return place.stat().st_mtime
    return float(lease_at(place).get("begun", 0))


@contextmanager
def writing(path: Location) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into MachineError."""
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE or isinstance(error, PermissionError):
            wanted = "free some space" if error.errno in FULL else "make it writable"
            hint = f"{wanted} or choose another results_dir; the same command resumes"
            raise MachineError(f"{path}: cannot be written: {error.strerror}", hint=hint) from error
        raise
