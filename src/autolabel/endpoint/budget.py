"""A run's budget for endpoints, counted in a file that its processes share."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from autolabel.errors import DataError, EndpointError, MachineError


class Spent(msgspec.Struct, kw_only=True):
    """The requests and tokens so far."""

    requests: int = 0
    """Questions that were answered, or are under way."""
    tokens: int = 0
    """The tokens, as the servers count them; requests in progress count with their estimate."""


@dataclass(slots=True)
class Budget:
    """Limits on requests and tokens; None means unlimited. Without a file, counted for this process only."""

    requests: int | None = None
    tokens: int | None = None
    file: Path | None = None
    here: Spent = field(default_factory=Spent)

    def take(self, tokens: int) -> None:
        """Reserve one request of about ``tokens``; raises EndpointError if that exceeds the budget."""
        with self.book() as spent:
            for name, most, more in (("requests", self.requests, 1), ("tokens", self.tokens, tokens)):
                if most is not None and getattr(spent, name) + more > most:
                    raise EndpointError(
                        f"run.budget.{name}: {getattr(spent, name):,} of {most:,} are spent, and the next request "
                        f"takes about {more:,}",
                        hint="all answers are kept: raise the budget, and the same command resumes",
                    )
            spent.requests += 1
            spent.tokens += tokens

    def settle(self, expected: int, took: int) -> None:
        """Replace the reservation of an answered request by its actual tokens."""
        with self.book() as spent:
            spent.tokens += took - expected

    def release(self, expected: int) -> None:
        """Cancel the reservation of an unanswered request."""
        with self.book() as spent:
            spent.requests -= 1
            spent.tokens -= expected

    def so_far(self) -> Spent:
        """Return the spending so far."""
        with self.book() as spent:
            return Spent(requests=spent.requests, tokens=spent.tokens)

    @contextmanager
    def book(self) -> Iterator[Spent]:
        """Yield the spending under an inter-process lock, and write it back if the block succeeds."""
        if self.file is None:
            yield self.here
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise MachineError(f"{self.file}: cannot be written: {error.strerror}") from error
        with os.fdopen(handle, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            spent = _read(stream.read(4096), self.file)
            yield spent
            stream.seek(0)
            stream.write(json.dumps({"requests": spent.requests, "tokens": spent.tokens}).encode().ljust(64) + b"\n")
            stream.truncate()


def _read(data: bytes, file: Path) -> Spent:
    """Read the spending from a file, zero if it is empty; raises DataError if it is invalid."""
    if not data.strip():
        return Spent()
    try:
        return msgspec.json.decode(data, type=Spent)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: the spent budget cannot be read: {error}", hint="remove it to count the budget from zero"
        ) from None
