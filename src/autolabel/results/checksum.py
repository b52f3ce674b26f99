"""A file's SHA-256 in a file beside it, as ``sha256sum`` writes and checks it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from autolabel.storage import Location, at, open_regular, read_regular

_SUFFIX = ".sha256"
_MOST = 4096
"""Bytes of a file that holds a sum."""


class Sum:
    """Adds up what passes by."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def over(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a file, adding them up."""
        for piece in pieces:
            self.hash.update(piece)
            yield piece

    def line(self, name: str) -> bytes:
        """Return what goes into the file beside a file of this name."""
        return f"{self.hash.hexdigest()}  {name}\n".encode()


def checksum_file(path: Location) -> Location:
    """Return where the sum of a file lies."""
    return at(f"{path}{_SUFFIX}")


def stated_checksum(path: Location) -> str:
    """Return the sum that was written with a file; empty if none was, or it cannot be read."""
    try:
        text = read_regular(checksum_file(path), most=_MOST)
    except FileNotFoundError:
        return ""
    found = re.match(rb"([0-9a-f]{64}) [ *]", text)
    return found[1].decode() if found else "unreadable"


def of(path: Location) -> str:
    """Return a file's SHA-256, in hex; FileNotFoundError if there is none."""
    with open_regular(path) as stream:
        source: Any = stream
        return hashlib.file_digest(source, "sha256").hexdigest()
