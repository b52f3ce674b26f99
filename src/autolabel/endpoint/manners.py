"""Limits for the requests to a server: concurrency, timeouts, retries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 60.0
"""Seconds between two tries at most, where the server does not say how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """A client's limits; all times are in seconds."""

    concurrency: int = 8
    """Questions under way at once."""
    timeout: float = 120.0
    """The most seconds until an answer."""
    retries: int = 5
    """Further tries of a question that got no answer."""
    wait: float = 1.0
    """Before the first of them; doubled each time, up to a minute."""
    patience: float = 900.0
    """The most seconds that a busy server may delay one question."""

    def before(self, attempt: int) -> float:
        """Return the wait before a retry, counted from 1."""
        return float(min(self.wait * 2 ** (attempt - 1), max(_LONGEST, self.wait)))


class Clock:
    """Time and sleep, replaceable in tests."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        import asyncio

        await asyncio.sleep(seconds)


def asked_to_wait(header: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` header, given as a number or a date; None if invalid."""
    text = (header or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (when - now).total_seconds() if when.tzinfo else (when.replace(tzinfo=UTC) - now).total_seconds()
    return max(seconds, 0.0) if seconds < float("inf") else None
