"""The cores and the memory that this process may use, which may be less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_V1_CORES, _V1_MEMORY = "cpu", "memory"
"""Controllers of the first version of control groups."""


def cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use: by its affinity, and by the quota of its control groups.

    A quota of 2.5 cores counts as 2, because a third worker or thread would hold up the others. ``root`` is the root of
    the file system.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([there, *(int(quota) for quota in _quotas(root))]))


def memory(root: Path = _ROOT) -> int | None:
    """Return the bytes of memory that this process may use: the machine's, or the limit of its control groups.

    None if the machine does not tell.
    """
    try:
        there = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        there = []
    limits = [
        *(_number(folder / "memory.max") for folder in _groups(root, "")),
        *(_number(folder / "memory.limit_in_bytes") for folder in _groups(root, _V1_MEMORY)),
    ]
    return min([*there, *(limit for limit in limits if limit)], default=None)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas of cores, in cores."""
    for folder in _groups(root, ""):
        share, _, period = _text(folder / "cpu.max").partition(" ")
        if share.isdecimal() and period.isdecimal() and int(period):
            yield int(share) / int(period)
    for folder in _groups(root, _V1_CORES):
        quota, interval = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and interval:
            yield quota / interval


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of all groups around it; "" is the unified hierarchy.

    Inside a container, the named folder may be hidden, and the container's own group is the root of the hierarchy.
    """
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controller and (number, controllers) == ("0", ""):
            places = [mounts, mounts / "unified"]
        elif controller and controller in controllers.split(","):
            places = [mounts / controller, mounts / controllers]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for place in dict.fromkeys(places):
            yield from (place.joinpath(*parts[:count]) for count in range(len(parts) + 1))


def _number(file: Path) -> int | None:
    """Return the positive number in a file; None without one."""
    text = _text(file)
    return int(text) or None if text.isdecimal() else None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""
