"""Decide which files of a results directory autolabel may replace: only its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from autolabel.errors import BusyError, DataError
from autolabel.plan import plan_file
from autolabel.plan.model import PROVEN
from autolabel.results.lock import is_lock, writing
from autolabel.storage import Location, Remote, read_part

MARK = ".autolabel"
"""The file by which a folder says that we wrote it."""
_TEXT = b"Written by autolabel. Its next run replaces this folder, and what was put into it since.\n"
PLAN = "plan.json"
LOCK = ".lock"
_OURS = b'"autolabel"'
"""Bytes that every plan of autolabel contains, in any version."""
_BEGINNING = 1 << 20
"""Bytes of a plan within which that stands."""
_ELSEWHERE = "choose another results_dir, or move it elsewhere"
_SYSTEM = frozenset(
    f"/{name}"
    for name in [
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sys",
        "tmp",
        "usr",
        "var",
    ]
)


def name_taken(place: Location) -> bool:
    """Return whether a name exists, including dangling links."""
    return os.path.lexists(place) if isinstance(place, Path) else place.exists()


def mark(folder: Path) -> None:
    """Mark a folder as written by autolabel."""
    (folder / MARK).write_bytes(_TEXT)


def _is_marked(folder: Location) -> bool:
    """Return whether a folder is marked as written by autolabel."""
    if isinstance(folder, Remote):
        return (folder / MARK).is_file()
    place = folder / MARK
    return not folder.is_symlink() and not place.is_symlink() and place.is_file()


def check_replaceable(folder: Location) -> None:
    """Raise BusyError unless a folder is missing, empty, or written by autolabel."""
    if not name_taken(folder) or _is_marked(folder):
        return
    if isinstance(folder, Path):
        if folder.is_symlink():
            raise BusyError(f"{folder}: is a link, and what it leads to is not replaced", hint=_ELSEWHERE)
        if folder.is_dir() and not any(folder.iterdir()):
            return
    if not _of_older_run(folder):
        raise BusyError(f"{folder}: no run of autolabel has written it", hint="delete it, or move it elsewhere")


def _of_older_run(folder: Location) -> bool:
    """Return whether an unmarked folder is an output of a run of 0.1.0, which set no marks."""
    place, _, name = str(folder).rpartition("/")
    return name in _unmarked(Remote(place) if isinstance(folder, Remote) else Path(place or "."))


def _unmarked(root: Location) -> set[str]:
    """Return the output folders of a run of 0.1.0, which set no marks; empty for any other run."""
    if not name_taken(root / PLAN):
        return set()
    try:
        plan = plan_file.read_plan(root / PLAN)
    except DataError:
        return set()
    if plan.version >= PROVEN:
        return set()
    seen = (("report", plan.outputs.report), ("images_annotated", plan.outputs.visualize))
    return {export.type for export in plan.outputs.exports} | {name for name, wanted in seen if wanted}


def mark_older(root: Location) -> None:
    """Mark the folders of a run of 0.1.0 before its plan is replaced."""
    for name in _unmarked(root):
        folder = root / name
        if isinstance(folder, Remote):
            if folder.exists() and not _is_marked(folder):
                (folder / MARK).write_bytes(_TEXT)
        elif folder.is_dir() and not folder.is_symlink():
            mark(folder)


def foreign(root: Location, files: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Return the files and folders of a results directory that autolabel did not write.

    These are all files if there never was a run, and folders without our mark.
    """
    plan = root / PLAN
    with writing(root):
        if is_lock(root / LOCK) or (plan.is_file() and _OURS in read_part(plan, 0, _BEGINNING)):
            found = []
        else:
            found = [name for name in files if name_taken(root / name)]
        for name in folders:
            try:
                check_replaceable(root / name)
            except BusyError:
                found.append(name)
    return found


def check_place(root: Location) -> None:
    """Raise BusyError if a results directory is a system folder, a home folder, or a repository."""
    if isinstance(root, Remote):
        return
    place = Path(os.path.realpath(root))
    home = _home()
    if place == Path("/") or str(place) in _SYSTEM:
        what = "a folder of the system"
    elif home is not None and home.is_relative_to(place):
        what = "a home"
    elif os.path.exists(place / ".git"):  # noqa: PTH110 - a name that is too long is no error here
        what = "a repository"
    else:
        return
    raise BusyError(f"{root} is {what}: a run would replace files in it", hint="name a folder in it as results_dir")


def _home() -> Path | None:
    """Return the home of the user; None for one without, as in a container with an arbitrary user id."""
    try:
        return Path(os.path.realpath(Path.home()))
    except RuntimeError:
        return None


def check_links(root: Location, folders: Iterable[str]) -> None:
    """Raise BusyError if one of our folders or its subfolders is a link, to avoid writing and deleting elsewhere."""
    if isinstance(root, Remote):
        return
    for name in folders:
        place = root / name
        inside = sorted(place.iterdir()) if place.is_dir() and not place.is_symlink() else []
        for path in (place, *inside):
            if path.is_symlink():
                raise BusyError(f"{path}: is a link, which no run of autolabel has made", hint="delete it")
