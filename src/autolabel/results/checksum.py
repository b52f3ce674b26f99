"""Store a file's SHA-256 beside it, in the format of ``sha256sum``."""

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
    """Computes a checksum of streamed data."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def over(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks of a file, updating the checksum."""
        for piece in pieces:
            self.hash.update(piece)
            yield piece

    def line(self, name: str) -> bytes:
        """Return the content of the checksum file for a file of this name."""
        return f"{self.hash.hexdigest()}  {name}\n".encode()


def checksum_file(path: Location) -> Location:
    """Return the path of a file's checksum file."""
    return at(f"{path}{_SUFFIX}")


def stated_checksum(path: Location) -> str:
    """Return the stored checksum of a file; empty if missing or unreadable."""
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
