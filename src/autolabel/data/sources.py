"""List the files below one or several folders as rows, with the reason for skipped ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath

from autolabel.data.inputs import Input
from autolabel.errors import DataError
from autolabel.images import is_image_file, suffix_of, unread_reason
from autolabel.safe_names import path_fault
from autolabel.storage import Location, Remote, at, is_url, resolved

_SYSTEM = frozenset(
    {"__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found",
     "#snapshot", "@tmp", "@__thumb", "__pycache__", "thumbs.db", "desktop.ini"}
)  # fmt: skip
"""Folders and files that operating systems and file servers leave behind, in lower case."""
HIDDEN, SYSTEM_FOLDER, RESULTS = "hidden", "system folder", "results of a run"
_LINK = "link to a folder outside"
_PLAN, _INPUTS = "plan.json", "inputs.jsonl"
"""Files that every results directory has."""
_MESSAGES = {
    "bad_name": "the file's name is not valid UTF-8, or no path below its folder; rename it",
    "outside_root": "a link that leaves the folder; set data.follow_symlinks to follow it",
}
ListedRow = tuple[Input, str]
"""The row of a file, and why the file is no input: hidden, system folder, results of a run, format, extension; empty if
it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImageRoot:
    """A root folder with the prefix of its images' ids (empty if there is one root)."""

    root: Location
    prefix: str

    def identify(self, relative: str) -> str:
        """Return the id of the image at ``relative``, a ``/``-separated path below the root."""
        return f"{self.prefix}/{relative}" if self.prefix else relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The run's results directory; files in it are never inputs."""

    folder: Location | None = None
    names: frozenset[str] = frozenset()
    """The names that the run writes there; only these are skipped if the folder is itself a root."""


NO_RESULTS = Results()


def sources(roots: Sequence[str]) -> list[_ImageRoot]:
    """Assign every root a prefix for its images' ids: its path below the common parent of all roots.

    If the roots only share the top of the file system, or one is a URL, the prefix is a suffix of its path that no
    other root has. A root inside another one is left out, because the outer root includes its images. Raises DataError
    if a root is not a folder, or is named twice.
    """
    folders = [at(root) for root in roots]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of images")
    real = Counter(map(resolved, folders))
    doubled = [str(folder) for folder in folders if real[resolved(folder)] > 1]
    if doubled:
        raise DataError(f"a folder of images is named twice: {', '.join(doubled)}")
    places = {_place(folder): folder for folder in folders}
    outer = [place for place in places if not any(_below(place, other) for other in places)]
    if len(outer) == 1:
        return [_ImageRoot(root=places[outer[0]], prefix="")]
    return [
        _ImageRoot(root=places[place], prefix=prefix) for place, prefix in zip(outer, _prefixes(outer), strict=True)
    ]


def inner(roots: Sequence[str]) -> list[str]:
    """Return the roots that are inside another one."""
    places = [_place(at(root)) for root in roots]
    return [root for root, place in zip(roots, places, strict=True) if any(_below(place, one) for one in places)]


def _place(folder: Location) -> str:
    """Return an absolute path without resolving links, or a URL."""
    return str(folder).rstrip("/") if isinstance(folder, Remote) else os.path.abspath(folder)  # noqa: PTH100


def _below(place: str, other: str) -> bool:
    return place != other and place.startswith(other.rstrip("/") + "/")


def _prefixes(places: Sequence[str]) -> list[str]:
    """Return distinct prefixes, none of which is the beginning of another."""
    parts = [[part for part in place.split("/") if part] for place in places]
    if not any(map(is_url, places)):
        shared = sum(1 for _ in takewhile(lambda step: len(set(step)) == 1, zip(*parts, strict=False)))
        if shared > 0:
            return ["/".join(one[shared:]) for one in parts]
    length = 1
    while len({tuple(one[-length:]) for one in parts}) < len(parts):
        length += 1
    return ["/".join(part.rstrip(":") for part in one[-length:]) for one in parts]


def walk_files(
    source: _ImageRoot, *, follow_symlinks: bool = False, results: Results = NO_RESULTS
) -> Iterator[ListedRow]:
    """Yield the row of every file below a root, in no particular order; it has failed if its name cannot be used.

    Links are followed if they stay below the root, or everywhere with ``follow_symlinks``; a folder is visited only
    once, so loops end. Unreadable folders raise DataError. A store has no links; a key that is not a path below its
    folder, such as ``a/../b.png``, is a ``bad_name``. Results directories, hidden and system folders are skipped.
    """
    if isinstance(source.root, Remote):
        return _listed(source, source.root, results)
    return _walk_here(source, source.root, follow_symlinks=follow_symlinks, results=results)


def _listed(source: _ImageRoot, root: Remote, results: Results) -> Iterator[ListedRow]:
    """Yield the files of a remote folder; its own files come before those of its subfolders."""
    plans: set[str] = set()
    inputs: set[str] = set()
    own, written = f"{results.folder}/", _written(root, results)
    for entry in root.files():
        folder, _, base = entry.name.rpartition("/")
        plans |= {folder} if base == _PLAN else set()
        inputs |= {folder} if base == _INPUTS else set()
        path = str(root / entry.name)
        above = [folder[: place if place >= 0 else None] for place in _ends(folder)] if folder else []
        passed = _by_name(PurePath(entry.name).parts)
        if (
            (path.startswith(own) and str(root) != str(results.folder))
            or any(one in plans and one in inputs for one in above)
            or entry.name.split("/")[0] in written
        ):
            passed = RESULTS
        if bool(path_fault(entry.name)) or not {"", ".", ".."}.isdisjoint(entry.name.split("/")):
            if not passed and not unread_reason(suffix_of(base)):
                yield _failed(source.identify(entry.name), code="bad_name"), ""
            continue
        row = Input(image=source.identify(entry.name), path=path, bytes=entry.size)
        yield row, passed or unread_reason(suffix_of(base))


def _ends(folder: str) -> Iterator[int]:
    """Yield the end position of each part of a path, -1 for the last."""
    place = folder.find("/")
    while place >= 0:
        yield place
        place = folder.find("/", place + 1)
    yield -1


def _written(root: Location, results: Results) -> frozenset[str]:
    """Return the names at the top of a root that a run writes; empty unless the root is its results directory."""
    same = results.folder is not None and resolved(root) == resolved(results.folder)
    return results.names if same else frozenset()


def _by_name(parts: Sequence[str]) -> str:
    """Return why a path is skipped, judged by the names of its parts."""
    if any(part.startswith(".") and part not in (".", "..") for part in parts):
        return HIDDEN
    return SYSTEM_FOLDER if any(part.lower() in _SYSTEM for part in parts) else ""


def _walk_here(source: _ImageRoot, root: Path, *, follow_symlinks: bool, results: Results) -> Iterator[ListedRow]:
    """Yield the files of a local folder."""
    top = Path(os.path.realpath(root))
    own = resolved(results.folder) if results.folder is not None else None
    written = _written(root, results)
    visited: set[tuple[int, int]] = set()
    pending = [(os.fspath(root), "", "")]
    while pending:
        folder, relative, passed = pending.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116
        except OSError as error:
            raise _unlisted(folder, error) from error
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in _entries_of(folder, strict=not passed):
            name = relative + entry.name
            outside = entry.is_symlink() and not follow_symlinks and _leaves(entry.path, top)
            why = passed or _by_name([entry.name]) or (RESULTS if name in written else "")
            if _is_folder(entry):
                if outside:
                    yield _found(source, name, entry.path, outside=True, passed=why or _LINK)
                else:
                    why = why or (RESULTS if resolved(Path(entry.path)) == own or _is_results(entry.path) else "")
                    pending.append((entry.path, name + "/", why))
            else:
                yield _found(source, name, entry.path, outside=outside, passed=why)


def _is_results(folder: str) -> bool:
    """Return whether a folder is the results directory of a run."""
    return os.path.isfile(f"{folder}/{_PLAN}") and os.path.isfile(f"{folder}/{_INPUTS}")  # noqa: PTH113


def _entries_of(folder: str, *, strict: bool = True) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder one by one, because there may be millions."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        if strict:
            raise _unlisted(folder, error) from error


def _unlisted(folder: str, error: OSError) -> DataError:
    """Return the error for a folder that cannot be listed."""
    return DataError(f"{folder}: cannot be listed: {error.strerror}")


def _leaves(link: str, top: Path) -> bool:
    """Return whether a link leads out of ``top``; circular links do not, and fail when they are read."""
    try:
        return not Path(link).resolve().is_relative_to(top)
    except (OSError, RuntimeError):
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; circular links are not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _found(source: _ImageRoot, name: str, path: str, *, outside: bool, passed: str) -> ListedRow:
    """Return the row of a local file, failed if its name is not valid Unicode or it is a link that leaves the root."""
    base = name.rpartition("/")[2]
    suffix = suffix_of(base)
    passed = passed or unread_reason(suffix)
    if passed == "extension" and not suffix and not outside and is_image_file(path):
        passed = ""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        printable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return _failed(source.identify(printable), code="bad_name"), passed
    image = source.identify(name)
    return _failed(image, path, code="outside_root") if outside else Input(image=image, path=path), passed


def _failed(image: str, path: str = "", *, code: str) -> Input:
    """Return the row of a file that cannot be used."""
    return Input(image=image, path=path, code=code, message=_MESSAGES[code])
