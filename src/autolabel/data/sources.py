"""List the images below one or several folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autolabel.errors import DataError
from autolabel.images import SUFFIXES
from autolabel.safe_names import fault_of
from autolabel.storage import Location, Remote, at, resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A root folder with the prefix that its images' ids carry (empty where there is one root)."""

    root: Location
    prefix: str

    def identify(self, relative: str) -> str:
        """Return the id of the image at ``relative``, a ``/``-separated path below the root."""
        return f"{self.prefix}/{relative}" if self.prefix else relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that looks like an image, or a name that cannot be used (``bad_name``, ``outside_root``)."""

    id: str
    path: str
    bytes: int = 0
    """Its size, where the listing says."""
    code: str = ""


def sources(roots: Sequence[str]) -> list[Source]:
    """Give every root a distinct prefix: its folder's name, numbered where names are equal.

    Raises DataError where a root is not a folder, or is named twice.
    """
    folders = [at(root) for root in roots]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of images")
    real = Counter(map(resolved, folders))
    doubled = [str(folder) for folder in folders if real[resolved(folder)] > 1]
    if doubled:
        raise DataError(f"a folder of images is named twice: {', '.join(doubled)}")
    if len(folders) == 1:
        return [Source(root=folders[0], prefix="")]
    seen: Counter[str] = Counter()
    out = []
    for folder in folders:
        name = resolved(folder).name or "root"
        seen[name] += 1
        out.append(Source(root=folder, prefix=name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return out


def walk(source: Source, *, follow_symlinks: bool = False) -> Iterator[Found]:
    """Yield every file below a root whose suffix is an image's, in no particular order.

    Links are followed where they stay below the root, or everywhere with ``follow_symlinks``; a folder that was
    walked before is not walked again, so loops end. Unreadable folders raise DataError. A store has no links; a key
    that is no path below its folder, such as ``a/../b.png``, is a ``bad_name``.
    """
    if isinstance(source.root, Remote):
        return listed(source, source.root)
    return walk_here(source, source.root, follow_symlinks=follow_symlinks)


def listed(source: Source, root: Remote) -> Iterator[Found]:
    """Yield the images of a remote folder."""
    for entry in root.files():
        if os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122
            unfit = bool(fault_of(entry.name)) or not {"", ".", ".."}.isdisjoint(entry.name.split("/"))
            if unfit:
                yield Found(id=source.identify(entry.name), path="", code="bad_name")
            else:
                yield Found(id=source.identify(entry.name), path=str(root / entry.name), bytes=entry.size)


def walk_here(source: Source, root: Path, *, follow_symlinks: bool) -> Iterator[Found]:
    """Yield the images of a folder of this machine."""
    top = root.resolve()
    visited: set[tuple[int, int]] = set()
    pending = [(os.fspath(root), "")]
    while pending:
        folder, relative = pending.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116
        except OSError as error:
            raise unlisted(folder, error) from error
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries_of(folder):
            name = relative + entry.name
            outside = entry.is_symlink() and not follow_symlinks and leaves(entry.path, top)
            if is_folder(entry):
                if not outside:
                    pending.append((entry.path, name + "/"))
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                yield found(source, name, entry.path, outside=outside)


def entries_of(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds, one by one: it may hold millions."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise unlisted(folder, error) from error


def unlisted(folder: str, error: OSError) -> DataError:
    """Return what says that a folder cannot be listed."""
    return DataError(f"{folder}: cannot be listed: {error.strerror}")


def leaves(link: str, top: Path) -> bool:
    """Return whether a link leads out of ``top``; one that leads to itself does not, and is told when it is read."""
    try:
        return not Path(link).resolve().is_relative_to(top)
    except (OSError, RuntimeError):
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def found(source: Source, name: str, path: str, *, outside: bool) -> Found:
    """Describe a file, marking names that are not valid Unicode and links that leave the root."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        printable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return Found(id=source.identify(printable), path="", code="bad_name")
    return Found(id=source.identify(name), path=path, code="outside_root" if outside else "")
