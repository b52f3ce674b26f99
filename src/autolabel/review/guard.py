"""Restrict requests to the server's own pages, host name and token."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from autolabel.web import Fault, bounded, foreign_host, foreign_page, same_secret, with_headers
from autolabel.web.checks import SAFE

MOST_BYTES = 4_000_000
"""The most bytes of a request's body."""
MOST_PATH = 1000
"""Characters of a path: no page has a longer one, and no row a number of thousands of digits."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    **SAFE,
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Passes requests with our host name and token that were not sent by a foreign page.

    Foreign host names are refused to prevent DNS rebinding, foreign origins because any page in the browser may send
    requests here. The token is removed from the path of passed requests.
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
            await PlainTextResponse(text, status, headers=_HEADERS)(scope, receive, send)
            return
        below = dict(scope, path=scope["path"][len(self._token) + 1 :], root_path=f"/{self._token}")
        below["raw_path"] = below["path"].encode()
        below["root_path"] = ""
        await self._app(below, bounded(receive, MOST_BYTES), with_headers(send, _HEADERS))

    def _fault(self, scope: Scope) -> Fault | None:
        headers = Headers(scope=scope)
        if fault := foreign_host(headers, self._hosts):
            return fault
        if not same_secret(scope["path"][1 : len(self._token) + 2], f"{self._token}/"):
            return 403, "the address lacks its token: use the one that autolabel printed"
        if len(scope["path"]) > MOST_PATH:
            return 404, "there is no such page"
        return foreign_page(headers) or self._unfit(scope["method"], headers)

    def _unfit(self, method: str, headers: Headers) -> Fault | None:
        """Return a refusal for requests that the page does not make."""
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return 405, "not allowed"
        if headers.get("origin") is None:
            return 403, "a change must say which page it comes from"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "a change must be JSON"
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= MOST_BYTES):
            return 413, f"a change must say its length, {MOST_BYTES} bytes at most"
        return None
