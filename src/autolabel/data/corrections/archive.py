"""Unpack zip archives of annotations into a temporary folder."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from autolabel.data.corrections.bounded import MOST_DOCUMENT
from autolabel.errors import DataError

MOST_UNPACKED = 1 << 29
"""Bytes of annotations that an archive may hold."""
_MOST_FILES = 200_000
_ANNOTATIONS = {".json", ".xml", ".txt", ".yaml", ".yml", ".names"}
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError, struct.error, RuntimeError)
"""Exceptions for an unreadable archive; RuntimeError for a password or an unknown method."""
_HINT = "unpack it yourself and name the file or folder"


@contextmanager
def open_archive(path: Path) -> Iterator[Path]:
    """Yield a file or folder; for an archive, a temporary folder with its annotations.

    Raises DataError if it is neither, or if the archive cannot be unpacked; errors raised inside the block name the
    archive and its member.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file", hint="save it as a file first")
    if not zipfile.is_zipfile(path):
        yield path
        return
    with TemporaryDirectory() as folder:
        try:
            _unpack(path, Path(folder))
            yield Path(folder)
        except DataError as error:
            raise _renamed(error, folder, path) from error


def _renamed(error: DataError, folder: str, archive: Path) -> DataError:
    """Return an error that names archive members instead of temporary files."""

    def with_members_name(text: str) -> str:
        return text.replace(f"{folder}/", f"{archive}: ").replace(folder, str(archive))

    if error.problems:
        return DataError(
            [
                replace(one, file=with_members_name(one.file), message=with_members_name(one.message))
                for one in error.problems
            ]
        )
    return DataError(with_members_name(error.message), hint=error.hint)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if _is_annotation(entry)]
            _check(archive, entries)
            for entry in entries:
                _extract(archive, packed, entry, folder)
    except _DAMAGED as error:
        raise DataError(f"{archive}: the archive cannot be read: {error}", hint=_HINT) from error


def _is_annotation(entry: zipfile.ZipInfo) -> bool:
    return not entry.is_dir() and PurePosixPath(entry.filename).suffix.lower() in _ANNOTATIONS


def _check(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
            raise DataError(f"{archive}: {entry.filename!r} leads out of the archive")
        if entry.file_size > MOST_DOCUMENT:
            raise DataError(f"{archive}: {entry.filename[:200]!r} is larger than {MOST_DOCUMENT:,} bytes", hint=_HINT)
    if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        text = f"holds more than {MOST_UNPACKED:,} bytes, or {_MOST_FILES:,} files, of annotations"
        raise DataError(f"{archive}: {text}", hint=_HINT)


def _extract(archive: Path, packed: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / PurePosixPath(entry.filename)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with packed.open(entry) as source, target.open("xb") as out:
            while piece := source.read(1 << 20):  # at most the size stated in the archive
                out.write(piece)
    except _DAMAGED as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        text = f"{archive}: {entry.filename[:200]!r} cannot be unpacked: {reason}".replace(str(folder), "")
        raise DataError(text, hint=_HINT) from error
