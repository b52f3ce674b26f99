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
    """The requests so far, and their tokens."""

    requests: int = 0
    """Questions that were answered, or are under way."""
    tokens: int = 0
    """The tokens, as the servers count them; requests in progress count with their estimate."""


@dataclass(slots=True)
class Budget:
    """The most requests and tokens; None: as many as it takes. Without a file, of this process alone."""

    requests: int | None = None
    tokens: int | None = None
    file: Path | None = None
    here: Spent = field(default_factory=Spent)

    def take(self, tokens: int) -> None:
        """Put a question that takes about ``tokens`` on the bill; raises EndpointError if that is too much."""
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
        """Correct the bill of a question that was answered."""
        with self.book() as spent:
            spent.tokens += took - expected

    def release(self, expected: int) -> None:
        """Take a question that was not answered off the bill."""
        with self.book() as spent:
            spent.requests -= 1
            spent.tokens -= expected

    def so_far(self) -> Spent:
        """Return what is spent."""
        with self.book() as spent:
            return Spent(requests=spent.requests, tokens=spent.tokens)

    @contextmanager
    def book(self) -> Iterator[Spent]:
        """Yield what is spent, alone among all processes, and write it back if the block ends well."""
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
    """Return what a file says is spent, nothing if it is empty; raises DataError if it says something else."""
    if not data.strip():
        return Spent()
    try:
        return msgspec.json.decode(data, type=Spent)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: does not say what is spent: {error}", hint="remove it to count the budget from zero"
        ) from None
