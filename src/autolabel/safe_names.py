"""Check file names from untrusted data before they are used."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")


def path_fault(name: str) -> str:
    """Return why ``name`` is not a valid ``/``-separated path below a folder; empty if it is valid.

    Invalid are absolute paths, drive letters, backslashes, NUL, and ``..`` that leaves the folder.
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
