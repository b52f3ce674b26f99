"""Error responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from autolabel.errors import AutolabelError, BusyError, MachineError
from autolabel.redact import hidden

_log = logging.getLogger(__name__)
_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """A request is refused with a status; ``retry`` says after how many seconds it may be sent again."""

    def __init__(self, status: int, message: str, *, hint: str = "", retry: int = 0) -> None:
        self.status = status
        self.message = hidden(message)
        super().__init__(self.message)
        self.hint = hint
        self.retry = retry

    def response(self) -> Response:
        """Return the answer."""
        headers = {"retry-after": str(self.retry)} if self.retry else {}
        return as_json({"error": self.message, "hint": self.hint}, self.status, headers)


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def answering(endpoint: _Endpoint, *, seconds: float) -> _Endpoint:
    """Return an endpoint that always answers in time, with a message on errors."""

    async def guarded(request: Request) -> Response:
        try:
            async with asyncio.timeout(seconds):
                return await endpoint(request)
        except Exception as error:
            return _refusal_of(error, seconds).response()

    return guarded


def _refusal_of(error: Exception, seconds: float) -> Refusal:
    """Return the refusal for an error; unexpected ones are logged without details in the answer."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, TimeoutError):
        return Refusal(503, f"not done within {seconds:g} s", retry=5)
    if isinstance(error, ClientDisconnect):
        return Refusal(400, "the request is not whole")
    if isinstance(error, BusyError | MachineError):
        return Refusal(503, error.message, hint=error.hint, retry=5)
    if isinstance(error, AutolabelError):
        return Refusal(422, error.message or str(error), hint=error.hint)
    _log.error("a request failed", exc_info=error)
    return Refusal(500, "this is a bug in autolabel; the server's log has more")
