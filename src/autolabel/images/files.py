"""Read the bytes of a local or remote image file, with retries after transient errors."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from autolabel.errors import ImageError, MachineError
from autolabel.images.inside import check_inside
from autolabel.storage import EXHAUSTED, PAUSES, TRANSIENT, Remote, at, is_url, retry

MAX_PIXELS = 100_000_000
_PAGE = re.compile(r"#page=([1-9]\d{0,8})")
_SAMPLES = 8
_SAMPLE_BYTES = 1 << 12
"""The bytes sampled to identify a file's content: at equal distances, including the first and the last."""

_T = TypeVar("_T")
Source = str | BinaryIO
"""An argument of Pillow's ``open``: the path of a local file, or the bytes of a remote one."""


def split_page(path: str | Path) -> tuple[str, int]:
    """Return the file of a path, and the page number (from 1)."""
    file, mark, number = str(path).rpartition("#page=")
    return (file, int(number)) if mark and _PAGE.fullmatch(mark + number) else (str(path), 1)


def name_of(path: str | Path) -> str:
    """Return the last part of a path or URL."""
    return str(path).rpartition("/")[2]


def from_start(path: str | Path) -> Source:
    """Open a file as a stream, so that only the needed part is read."""
    place = _placed(path)
    return place.open() if isinstance(place, Remote) else _local(place)


def whole_file(path: str | Path) -> Source:
    """Open a whole file, in one request if it is remote."""
    place = _placed(path)
    return io.BytesIO(place.read_bytes()) if isinstance(place, Remote) else _local(place)


def _placed(path: str | Path) -> str | Remote:
    """Return the place of a file; a ``file://`` URL becomes a path."""
    text = str(path)
    place = at(text) if is_url(text) else text
    return place if isinstance(place, Remote) else str(place)


def _local(path: str) -> str:
    """Return the path of a regular file; raises ImageError for anything else, such as a pipe that would block."""
    if path in ("", "."):
        raise ImageError("unreadable", "it is outside the image folders that were named on this machine")
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise ImageError("unreadable", f"{name_of(path)}: not a file")
    return path


def image_digest(path: str | Path) -> str:
    """Return the SHA-256 of an image file's bytes, in hex; for a page, its number is included. Decodes nothing.

    Raises ImageError ``unreadable`` if there is no regular file, ``outside_root``, or ``io_error``.
    """
    check_inside(path)
    file, page = split_page(path)
    digest = retried(partial(_hash_of, file), file)
    return digest if page == 1 else hashlib.sha256(f"{digest}#{page}".encode()).hexdigest()


def content_mark(path: str | Path) -> str:
    """Return 16 hex digits that fingerprint a file, from its length and 8 samples of 4 kB.

    Files of up to 32 kB are hashed completely. Empty for a remote file, where every sample would cost a request, and
    for an unreadable one.
    """
    place = _placed(split_page(path)[0])
    if isinstance(place, Remote):
        return ""
    try:
        with open(place, "rb", buffering=0) as stream:  # noqa: PTH123
            length = os.fstat(stream.fileno()).st_size
            mark = hashlib.blake2b(str(length).encode(), digest_size=8)
            whole = os.pread(stream.fileno(), _SAMPLE_BYTES, 0) if length <= _SAMPLE_BYTES else b""
            for number in range(_SAMPLES):
                start = max(0, length - _SAMPLE_BYTES) * number // (_SAMPLES - 1)
                mark.update(whole or os.pread(stream.fileno(), _SAMPLE_BYTES, start))
        return mark.hexdigest()
    except OSError:
        return ""


def _hash_of(path: str) -> str:
    """Hash a file without retries; a transient OSError passes through."""
    try:
        source = whole_file(path)
        if not isinstance(source, str):
            return hashlib.sha256(source.read()).hexdigest()
        with Path(source).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        if error.errno in TRANSIENT | EXHAUSTED:
            raise
        raise ImageError("unreadable", f"{name_of(path)}: {error.strerror}") from error


def retried(read: Callable[[], _T], path: str | Path) -> _T:
    """Return the result of ``read``, with retries after transient errors."""
    try:
        return retry(read, TRANSIENT | EXHAUSTED)
    except MachineError as error:  # stores already retry
        raise ImageError("io_error", error.message) from error
    except OSError as error:
        if error.errno in EXHAUSTED:
            hint = "raise the limit (ulimit -n), or lower run.num_workers; the same command resumes"
            raise MachineError(f"{name_of(path)}: {error.strerror}", hint=hint) from error
        often = f", {len(PAUSES) + 1} times" if error.errno in TRANSIENT else ""
        raise ImageError("io_error", f"{name_of(path)}: {error.strerror}{often}") from error
