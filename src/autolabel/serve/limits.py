"""Limits on one request, and on all requests together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from autolabel.serve.refusal import Refusal

PIXELS = 150_000_000
"""The most pixels of images decoded at a time; a larger image is decoded alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Limits on requests."""

    body: int = 64 << 20
    """Maximum bytes of a request, and of an image that is fetched: 413."""
    images: int = 64
    """Maximum images of a request: 413."""
    tasks: int = 1000
    """Maximum tasks of a request of Label Studio, which sends all selected tasks at once: 413."""
    queue: int = 64
    """Maximum simultaneous requests: 429."""
    bodies: int = 1 << 30
    """Maximum bytes of all their bodies together: 429."""
    seconds: float = 90.0
    """Maximum seconds until a request is answered; then status 503. Label Studio waits 100 s."""


class Admission:
    """Limits the number of simultaneous requests; for one event loop."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self.requests = 0
        """The number of requests in progress."""
        self.bytes = 0
        self.closing = False
        """Whether the server is about to end."""

    @contextmanager
    def enter(self, length: int) -> Iterator[None]:
        """Admit a request with a body of ``length`` bytes; raises Refusal if the limit is reached."""
        if self.closing:
            raise Refusal(503, "the server is ending", retry=5)
        full = self.requests >= self._limits.queue
        if full or (self.requests and self.bytes + length > self._limits.bodies):
            raise Refusal(429, f"{self.requests} requests are worked on, and no more are taken", retry=1)
        self.requests += 1
        self.bytes += length
        try:
            yield
        finally:
            self.requests -= 1
            self.bytes -= length


class PixelBudget:
    """Limits the pixels of images decoded at a time; for one event loop."""

    def __init__(self, most: int = PIXELS) -> None:
        self._most = most
        self._taken = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels fit, or no others are in use."""
        async with self._freed:
            await self._freed.wait_for(lambda: not self._taken or self._taken + pixels <= self._most)
            self._taken += pixels
        try:
            yield
        finally:
            self._taken -= pixels
            async with self._freed:
                self._freed.notify_all()
