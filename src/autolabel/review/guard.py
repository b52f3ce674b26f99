"""Who may talk to the server: pages that it sent itself, at its own address, with its token."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 4_000_000
"""Of a request's body."""
MOST_PATH = 1000
"""Characters of a path: no page has a longer one, and no row a number of thousands of digits."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Lets a request through where its host is ours, its path begins with the token, and no foreign page sent it.

    A foreign host is refused because a name of somebody else's may lead to this address (DNS rebinding); a foreign
    origin, because any page in the browser may send requests here. What passes has the token taken off its path.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        fault = self._fault(scope)
        if fault is not None:
            status, text = fault
            await PlainTextResponse(text, status, headers=HEADERS)(scope, receive, send)
            return
        below = dict(scope, path=scope["path"][len(self._token) + 1 :], root_path=f"/{self._token}")
        below["raw_path"] = below["path"].encode()
        below["root_path"] = ""
        await self._app(below, _bounded(receive), _with_headers(send))

    def _fault(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 421, "this server answers at its own address only"
        said, token = scope["path"][1 : len(self._token) + 2], f"{self._token}/"
        if not hmac.compare_digest(said.encode("utf-8", "replace"), token.encode()):
            return 403, "the address lacks its token: use the one that autolabel printed"
        if len(scope["path"]) > MOST_PATH:
            return 404, "there is no such page"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{hosts[0].lower()}":
            return 403, "requests of other pages are refused"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "requests of other pages are refused"
        if scope["method"] not in ("GET", "HEAD"):
            if scope["method"] != "POST":
                return 405, "not allowed"
            if origin is None:
                return 403, "a change must say which page it comes from"
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return 415, "a change must be JSON"
            length = headers.get("content-length", "")
            if not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= MOST_BYTES):
                return 413, f"a change must say its length, {MOST_BYTES} bytes at most"
        return None


def _bounded(receive: Receive) -> Receive:
    read = 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return message if read <= MOST_BYTES else {"type": "http.disconnect"}

    return receive_bounded


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_headers
