"""Fetch images from the Label Studio server, and from no other address."""

from __future__ import annotations

import http.client
import ipaddress
import logging
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import msgspec

from autolabel import urls
from autolabel.errors import SpecError
from autolabel.serve.refusal import Refusal

_log = logging.getLogger(__name__)
_SECONDS = 20.0
"""The most seconds until the server answers, and between two pieces of an answer."""
_PLACES = ("/data/", "/storage-data/", "/tasks/")
"""The paths at which the server serves images."""
_JWT_DOTS = 2
"""A token of the newer kind has three parts, and is exchanged for one that holds for some minutes."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin | None:
        """Return the origin of an http or https URL, None if it is not a plain one."""
        try:
            parts: SplitResult = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or parts.username or not urls._PLAIN_HOST.fullmatch(host):
            return None
        return cls(parts.scheme, host.lower(), port or (443 if parts.scheme == "https" else 80))

    def addresses(self) -> list[str]:
        """Return the host's addresses; empty if it cannot be resolved."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        return list(dict.fromkeys(str(one[4][0]) for one in found))


class LabelStudioServer:
    """The only server that images are fetched from, with its token.

    It is set on the command line, or by ``/setup``. In that case it must be the machine that sent the request, so that
    requests cannot be directed to third parties.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self._named = Origin.of(url) if url is not None else None
        if url is not None and self._named is None:
            raise SpecError(
                f"{urls.without_secrets(url)!r} is not the address of a server", hint="write http://host:port"
            )
        self._own_token = token
        self._origin = self._named
        self._address: str | None = None
        """The address of an origin that ``/setup`` named; None: resolve its name."""
        self._token = token or ""

    def learn(self, hostname: object, token: object, *, peer: str) -> None:
        """Learn the server's address from ``/setup``; other machines are ignored, with a warning."""
        if isinstance(token, str) and self._own_token is None:
            self._token = token
        origin = Origin.of(hostname) if isinstance(hostname, str) else None
        if self._named is not None or origin is None:
            return
        found = next((one for one in origin.addresses() if same_machine(one, peer)), None)
        if found is None:
            _log.warning(
                "Label Studio names the address %s, but its requests come from another one: set --label-studio URL",
                urls.without_secrets(str(hostname)),
            )
            return
        self._origin, self._address = origin, found

    def serves(self, url: str) -> str | None:
        """Return the path, with query, of an image on this server; None if it is elsewhere.

        A path without a host is on this server.
        """
        parts = urlsplit(url)
        if (parts.scheme or parts.netloc) and (self._origin is None or Origin.of(url) != self._origin):
            return None
        if not parts.path.startswith(_PLACES) or ".." in parts.path or not url.isprintable() or not url.isascii():
            return None
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def fetch(self, path: str, *, most: int) -> bytes:
        """Return an image's bytes; raises Refusal if the server refuses. Redirects are not followed."""
        if self._origin is None:
            hint = "say --label-studio URL, or have Label Studio call /setup from the machine that its hostname names"
            raise Refusal(422, "the image is on the Label Studio server, whose address is not known", hint=hint)
        return self._asked("GET", path, most=most, headers={"authorization": self._credentials()})

    def _credentials(self) -> str:
        if self._token.count(".") != _JWT_DOTS:
            return f"Token {self._token}"
        body = msgspec.json.encode({"refresh": self._token})
        headers = {"content-type": "application/json"}
        answer = self._asked("POST", "/api/token/refresh", most=100_000, headers=headers, body=body)
        try:
            return f"Bearer {msgspec.json.decode(answer)['access']}"
        except (msgspec.DecodeError, KeyError, TypeError):
            raise Refusal(422, "Label Studio does not take the token") from None

    def _asked(
        self, method: str, path: str, *, most: int, headers: Mapping[str, str], body: bytes | None = None
    ) -> bytes:
        assert self._origin is not None
        connection = _connection(self._origin, self._address)
        try:
            connection.request(method, path, body, dict(headers))
            with closing(connection.getresponse()) as answer:
                if answer.status != 200:
                    raise Refusal(422, f"Label Studio answers {answer.status} for {path.partition('?')[0]}")
                data = answer.read(most + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refusal(422, f"Label Studio cannot be asked for {path.partition('?')[0]}: {error}") from None
        finally:
            connection.close()
        if len(data) > most:
            raise Refusal(422, f"the image has more than {most:,} bytes")
        return data


def _connection(origin: Origin, address: str | None) -> http.client.HTTPConnection:
    """Return a connection to an origin, using ``address`` instead of resolving its name again."""
    made: http.client.HTTPConnection
    if origin.scheme == "https":
        made = http.client.HTTPSConnection(
            origin.host, origin.port, timeout=_SECONDS, context=ssl.create_default_context()
        )
    else:
        made = http.client.HTTPConnection(origin.host, origin.port, timeout=_SECONDS)
    if address is not None:
        connecting = vars(made)
        connecting["_create_connection"] = lambda _, timeout, source: socket.create_connection(
            (address, origin.port), timeout, source
        )
    return made


def same_machine(address: str, peer: str) -> bool:
    """Return whether an address is the sender of a request; all loopback addresses are one machine."""
    try:
        one, other = _plain_address(address), _plain_address(peer)
    except ValueError:
        return False
    return one == other or (one.is_loopback and other.is_loopback)


def _plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address, with IPv4-mapped IPv6 addresses as IPv4."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
