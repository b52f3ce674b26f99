"""Image paths that are checked to stay inside their folder when they are opened."""

from __future__ import annotations

import os
from pathlib import Path

from autolabel.errors import ImageError


class InsidePath(str):
    """The path of an image that is only opened if it resolves to a file below ``root``."""

    __slots__ = ("root",)
    root: str

    def __new__(cls, path: str, root: str) -> InsidePath:
        """Return a path below ``root``."""
        made = super().__new__(cls, path)
        made.root = root
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Return the arguments for unpickling in workers."""
        return str(self), self.root


def leaves_root(path: str | Path) -> bool:
    """Return whether a path must stay below a folder but resolves outside of it."""
    if not isinstance(path, InsidePath) or _has_no_link(path):
        return False
    top = os.path.realpath(path.root)
    files = {str(path), path.rpartition("#page=")[0] or str(path)}
    return not all(Path(os.path.realpath(file)).is_relative_to(top) for file in files)


def _has_no_link(path: InsidePath) -> bool:
    """Return whether no part of a path below its root is a link, so that it cannot lead elsewhere.

    False for a path that cannot be judged part by part. Costs two or three system calls, where resolving costs twenty.
    """
    place = path.root.rstrip("/")
    below = path.removeprefix(f"{place}/").split("/")
    if len(below) == len(path.split("/")) or ".." in below or "#page=" in path:
        return False
    for part in below:
        place = f"{place}/{part}"
        if os.path.islink(place):  # noqa: PTH114
            return False
    return True


def check_inside(path: str | Path) -> None:
    """Raise ImageError ``outside_root`` if a path leaves its folder."""
    if leaves_root(path):
        raise ImageError(
            "outside_root", f"{Path(path).name}: has become a link out of its folder, which is not followed"
        )
