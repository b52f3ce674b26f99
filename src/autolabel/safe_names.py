"""Names of files that come out of data: checked before anything is opened."""

from __future__ import annotations

import re
from pathlib import Path

from autolabel.errors import DataError

DRIVE = re.compile(r"[A-Za-z]:")


def fault_of(name: str) -> str:
    """Return what makes ``name`` unfit as a ``/``-separated path below some folder; empty where nothing does.

    Absolute paths, drive letters, backslashes, NUL, and ``..`` that leads out of the folder are unfit.
    """
    if "\0" in name:
        return "has a NUL character"
    if "\\" in name:
        return "has a backslash; folders are separated by /"
    if name.startswith(("/", "~")) or DRIVE.match(name):
        return "is an absolute path"
    if _escapes(name):
        return "leads out of its folder"
    return "" if any(part.strip() not in ("", ".", "..") for part in name.split("/")) else "is empty"


def _escapes(name: str) -> bool:
    depth = 0
    for part in name.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


def safe_join(root: str | Path, name: str) -> Path:
    """Return ``root / name``, with links followed, that is certain to lie below ``root``; it need not exist.

    Raises DataError, with the name, where it is unfit (see ``fault_of``) or a link on the way leads outside.
    """
    if fault := fault_of(name):
        raise DataError(f"file name {name!r} {fault}", hint="expected a path relative to the folder of images")
    top = Path(root).resolve()
    try:
        path = (top / name).resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"file name {name!r} cannot be resolved: {error}") from error
    if not path.is_relative_to(top):
        raise DataError(f"file name {name!r} leads out of {top} through a link")
    return path
