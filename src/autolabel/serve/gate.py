"""Access checks: token, host name, origin."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from autolabel.serve.refusal import Refusal
from autolabel.web import Fault, foreign_host, foreign_page, same_secret, with_headers
from autolabel.web.checks import SAFE

_MOST_PATH = 1000
"""Characters of a path."""
_MOST_QUERY = 50_000
"""The most bytes of a query string."""
_HEADERS = {**SAFE, "content-security-policy": "default-src 'none'; frame-ancestors 'none'"}


class Gate:
    """Passes requests with the token: as Bearer, as the password of Basic, or as ``?token=``.

    ``hosts`` are the allowed host names; None allows all, for a server that other machines reach by unknown names.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str] | None) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        send = with_headers(send, _HEADERS)
        if fault := self._fault(scope):
            response = Refusal(*fault).response()
            if fault[0] == 401:
                response.headers["www-authenticate"] = 'Basic realm="autolabel", charset="UTF-8"'
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> Fault | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and (fault := foreign_host(headers, self._hosts)):
            return fault
        if fault := foreign_page(headers):
            return fault
        if len(scope["path"]) > _MOST_PATH or len(scope["query_string"]) > _MOST_QUERY:
            return 414, "the address is too long"
        if not any(same_secret(said, self._token) for said in _tokens(headers, scope["query_string"])):
            return 401, "the token is missing or wrong: send it as 'Authorization: Bearer TOKEN'"
        return None


def _tokens(headers: Headers, query: bytes) -> list[str]:
    """Return the tokens in a request."""
    shown = [said for name, said in parse_qsl(query.decode("latin-1")) if name == "token"]
    for said in headers.getlist("authorization"):
        kind, _, rest = said.partition(" ")
        if kind.lower() == "bearer":
            shown.append(rest.strip())
        elif kind.lower() == "basic":
            shown.append(_password_of(rest.strip()))
    return shown


def _password_of(packed: str) -> str:
    """Return the password of Basic credentials; empty (never a valid token) if they are invalid."""
    try:
        return base64.b64decode(packed, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
