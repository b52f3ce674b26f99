"""Chain journal lines by checksums, to detect changed, lost and moved lines."""

from __future__ import annotations

import hashlib
import re

_DIGITS = 32
"""The hex digits of a sum: half a SHA-256."""
_LINKED = re.compile(rb'(.*),"after":"([0-9a-f]*)","sum":"([0-9a-f]*)"\}', re.DOTALL)


def sum_of(data: bytes) -> str:
    """Return the checksum of bytes."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


class Chain:
    """The lines of a journal in their order, each a JSON object without its newline.

    The first line may name any previous line, because a journal may continue one that was moved away. Lines of older
    versions have no checksum; they are only allowed at the start.
    """

    def __init__(self) -> None:
        self.last = ""
        """The sum of the last line, which the next one names; empty before the first."""

    def link(self, line: bytes) -> bytes:
        """Return the next line with the two checksum fields added."""
        named = line.removesuffix(b"}") + f',"after":"{self.last}"'.encode()
        self.last = sum_of(named)
        return named + f',"sum":"{self.last}"}}'.encode()

    def check(self, line: bytes) -> bytes:
        """Return the next line without the checksum fields; raises ValueError if it was changed."""
        found = _LINKED.fullmatch(line)
        if found is None:
            if self.last:
                raise ValueError("it has no checksum, but the line before has one")
            return line
        if told(line) != found[3].decode():
            raise ValueError("its checksum does not match")
        if self.last not in ("", found[2].decode()):
            raise ValueError("it does not follow the line before: lines are missing or out of order")
        self.last = found[3].decode()
        return found[1] + b"}"


def told(line: bytes) -> str:
    """Return the checksum in a line; empty if it is missing or wrong."""
    found = _LINKED.fullmatch(line)
    return found[3].decode() if found and sum_of(line[: found.end(2) + 1]) == found[3].decode() else ""


def named(line: bytes) -> str | None:
    """Return the previous line's checksum that a line names; None if it names none."""
    found = _LINKED.fullmatch(line)
    return found[2].decode() if found else None
