"""What a piece of work takes and touches: its peak of memory, and what it reads, writes or asks outside its folders."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_MEMORY = 1 << 30
"""Bytes by which the process may grow: what other tests of this process have left in its memory does not count."""
SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys")
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/shm", "/dev/tty")
WRITES = frozenset(
    {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod", "os.chown"}
)
LISTS = frozenset({"os.listdir", "os.scandir", "os.chdir"})
ASKS = frozenset(
    {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen", "os.system"}
    | {"os.exec", "os.posix_spawn", "os.fork", "os.startfile", "pty.spawn", "ftplib.connect", "urllib.Request"}
)
"""Nothing that reads a file may do these."""


@dataclass
class Seen:
    """What one piece of work did."""

    folders: tuple[str, ...]
    own: tuple[str, ...]
    """What the program itself is made of: read, never written."""
    outside: list[str] = field(default_factory=list)
    memory: int = 0
    """Bytes between what the process held before and its peak; 0 where this system does not tell."""


_now: list[Seen] = []
_hooked = False


@contextmanager
def watched(*folders: Path) -> Iterator[Seen]:
    """Watch a block that may touch some folders, of which the first holds its temporary files, and read the program."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hear)  # for good: a hook cannot be taken out again
        _hooked = True
    own: list[str] = [str(place) for place in (sys.prefix, sys.base_prefix, ROOT, *sys.path) if place]
    seen = Seen(tuple(map(os.path.realpath, folders)), tuple(os.path.realpath(place) for place in (*own, *SYSTEM)))
    before, tempfile.tempdir = tempfile.tempdir, str(folders[0])
    _forget_peak()
    held = _peak()
    _now.append(seen)
    try:
        yield seen
    finally:
        _now.remove(seen)
        tempfile.tempdir = before
        seen.memory = _peak() - held


def check(seen: Seen, about: str) -> None:
    """Assert that a block kept to its folders and to the memory that it may have."""
    assert not seen.outside, f"{about}: {seen.outside[:5]}"
    assert seen.memory < MOST_MEMORY, f"{about}: {seen.memory:,} bytes"


def _hear(event: str, values: tuple[object, ...]) -> None:
    if not _now or event not in ASKS | WRITES | LISTS | {"open"}:
        return
    seen = _now[-1]
    if event in ASKS:
        seen.outside.append(f"{event} {values!r:.200}")
        return
    named = values[:2] if event in ("os.rename", "os.link") else values[1:2] if event == "os.symlink" else values[:1]
    for place in named:
        if isinstance(place, str | bytes | os.PathLike) and not _allowed(os.fsdecode(place), seen, event, values):
            seen.outside.append(f"{event} {values!r:.200}")


def _allowed(place: str, seen: Seen, event: str, values: tuple[object, ...]) -> bool:
    real = os.path.realpath(os.path.join(_base(event, values), place))  # noqa: PTH118
    if _below(real, seen.folders) or _below(real, DEVICES):
        return True
    if event in WRITES:
        return False
    flags = values[2] if event == "open" and isinstance(values[2], int) else 0
    bytecode = "__pycache__" in real
    return _below(real, seen.own) and (bytecode or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _base(event: str, values: tuple[object, ...]) -> str:
    """Return the folder that a relative path starts from, where a handle of one was given."""
    place = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2, "os.symlink": 2, "os.rename": 2, "os.link": 2}.get(event)
    handle = values[place] if place is not None and place < len(values) else -1
    return os.readlink(f"/proc/self/fd/{handle}") if isinstance(handle, int) and handle >= 0 else ""  # noqa: PTH115


def _below(place: str, folders: tuple[str, ...]) -> bool:
    return any(place == one or place.startswith(one.rstrip("/") + "/") for one in folders)


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
