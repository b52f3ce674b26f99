"""Paths of images that know the folder they lie in: no link that was put there later leads out of it."""

from __future__ import annotations

import os
from pathlib import Path

from autolabel.errors import ImageError


class InsidePath(str):
    """The path of an image, which is opened only where it leads to a file below ``root``, links followed."""

    __slots__ = ("root",)
    root: str

    def __new__(cls, path: str, root: str) -> InsidePath:
        """Return a path below ``root``."""
        made = super().__new__(cls, path)
        made.root = root
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Tell pickle, which brings paths to workers, what a path is made of."""
        return str(self), self.root


def leaves_root(path: str | Path) -> bool:
    """Return whether a path was to stay below a folder, and a link leads out of it now."""
    if not isinstance(path, InsidePath):
        return False
    top = os.path.realpath(path.root)
    files = {str(path), path.rpartition("#page=")[0] or str(path)}
    return not all(Path(os.path.realpath(file)).is_relative_to(top) for file in files)


def check_inside(path: str | Path) -> None:
    """Raise ImageError ``outside_root`` where a path leads out of the folder that it was to stay in."""
    if leaves_root(path):
        raise ImageError(
            "outside_root", f"{Path(path).name}: has become a link out of its folder, which is not followed"
        )
