"""The HTTP client for fsspec: without redirects, and without servers on this machine unless allowed."""

from __future__ import annotations

import errno
import socket
from typing import Any

from autolabel import urls

_MOST_BYTES = 2 << 30
"""The most bytes of an answer with a stated length."""


def client_options() -> dict[str, Any]:
    """Return the options for fsspec's file system for http and https."""
    return {"get_client": _client, "allow_redirects": "redirects" in urls.allowed()}


async def _client(**words: Any) -> Any:
    """Create a session whose errors are OSErrors."""
    import aiohttp

    connector = aiohttp.TCPConnector(resolver=_resolver(), socket_factory=_socket)
    return aiohttp.ClientSession(connector=connector, raise_for_status=_check, **words)


async def _check(answer: Any) -> None:
    """Refuse redirects, and responses that are too large."""
    if 300 <= answer.status < 400 and answer.status != 304:
        to = urls.without_secrets(answer.headers.get("Location", "nowhere"))
        raise OSError(f"the server redirects to {to}, which is not followed ({urls.ALLOW}=redirects allows it)")
    if (answer.content_length or 0) > _MOST_BYTES:
        raise OSError(f"the server answers with {answer.content_length:,} bytes")


def _socket(found: tuple[Any, ...]) -> socket.socket:
    """Create the socket for a resolved address; refuse addresses of this machine, in any notation."""
    family, kind, protocol, _, address = found
    if "local" not in urls.allowed() and urls.is_local(address[0]):
        raise OSError(errno.EACCES, f"{address[0]} is an address of this machine ({urls.ALLOW}=local allows it)")
    return socket.socket(family, kind, protocol)


def _resolver() -> Any:
    from aiohttp.abc import AbstractResolver
    from aiohttp.resolver import DefaultResolver

    class Resolver(AbstractResolver):
        """Resolves host names, and refuses addresses of this machine."""

        def __init__(self) -> None:
            self.own = DefaultResolver()

        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
            found = await self.own.resolve(host, port, family)
            if "local" not in urls.allowed() and any(urls.is_local(one["host"]) for one in found):
                raise OSError(errno.EACCES, f"{host} is an address of this machine ({urls.ALLOW}=local allows it)")
            return found

        async def close(self) -> None:
            await self.own.close()

    return Resolver()
