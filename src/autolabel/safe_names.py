"""Names of files that come out of data: checked before anything is opened."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")


def path_fault(name: str) -> str:
    """Return what makes ``name`` unfit as a ``/``-separated path below some folder; empty if nothing does.

    Absolute paths, drive letters, backslashes, NUL, and ``..`` that leads out of the folder are unfit.
    """
    if "\0" in name:
        return "has a NUL character"
    if "\\" in name:
        return "has a backslash; folders are separated by /"
    if name.startswith(("/", "~")) or _DRIVE.match(name):
        return "is an absolute path"
    if _escapes(name):
        return "points outside its folder"
    return "" if any(part.strip() not in ("", ".", "..") for part in name.split("/")) else "is empty"


def _escapes(name: str) -> bool:
    depth = 0
    for part in name.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False
