"""Request checks: host name, origin, token, size."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Send

Fault: TypeAlias = tuple[int, str]
"""The status of an answer that refuses, and the sentence in it."""
SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers of every answer."""


def foreign_host(headers: Headers, hosts: Collection[str]) -> Fault | None:
    """Refuse a request with another host name than ours, to prevent DNS rebinding."""
    said = headers.getlist("host")
    if len(said) != 1 or said[0].lower() not in hosts:
        return 421, "this server answers only at its own address"
    return None


def foreign_page(headers: Headers) -> Fault | None:
    """Refuse requests that a page of another site makes the browser send."""
    origin = headers.get("origin")
    own = f"http://{headers.get('host', '').lower()}"
    if origin is not None and origin.lower() != own:
        return 403, "requests of other pages are refused"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return 403, "requests of other pages are refused"
    return None


def same_secret(said: str, secret: str) -> bool:
    """Compare two texts in constant time."""
    return hmac.compare_digest(said.encode("utf-8", "replace"), secret.encode())


def bounded(receive: Receive, most: int) -> Receive:
    """Return a receive function that limits the body to ``most`` bytes, and then disconnects."""
    read = 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return message if read <= most else {"type": "http.disconnect"}

    return receive_bounded


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """Return a send function that adds security headers; answers are not cached by default."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            mutable = MutableHeaders(scope=message)
            for name, value in headers.items():
                mutable[name] = value
            mutable.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_headers
