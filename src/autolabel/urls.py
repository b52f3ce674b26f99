"""Decide which URLs are allowed, and remove secrets from URLs."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import unicodedata
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from autolabel.redact import USER, hidden

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
ALLOW = "AUTOLABEL_ALLOW_URLS"
"""A list, with commas, of further schemes, and of the words ``local`` and ``redirects``."""
_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "memory", "file"})
_WRAPPERS = frozenset(
    {"reference", "simplecache", "filecache", "blockcache", "cached", "zip", "tar", "libarchive", "dir", "generic"}
    | {"dask", "data", "asyncwrapper", "async_wrapper", "local", "asynclocal", "jupyter", "jlab"}
)
"""Schemes that lead to other files, or to any: never read."""
_PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
"""A name or an address as every library reads it: no other digits, full stops or letters, nothing percent-encoded."""
_SECRET = re.compile(r"(?i)token|secret|passw|signature|credential|^(sig|key|api_?key|auth|access_?key)$")


def allowed() -> frozenset[str]:
    """Return the additional schemes allowed by the environment."""
    return frozenset(word.strip().lower() for word in os.environ.get(ALLOW, "").split(",") if word.strip())


def is_url(text: str) -> bool:
    """Return whether a text is a URL, such as ``s3://bucket/photos``, rather than a path."""
    return _URL.match(text) is not None


def scheme_of(url: str) -> str:
    """Return a URL's scheme, in lower case."""
    return url.partition("://")[0].lower()


def url_fault(url: str, *, local: bool = False) -> tuple[str, str]:
    """Return why a URL is not allowed, and a hint; both empty if it is allowed.

    Allowed are single schemes of SCHEMES and of ``AUTOLABEL_ALLOW_URLS``, without secrets in the URL, and without
    servers on this machine unless ``local`` is true or the variable lists ``local``.
    """
    scheme, more = scheme_of(url), allowed() | ({"local"} if local else frozenset())
    if "::" in url:
        return "is several URLs in one", "wanted one URL without '::'"
    if scheme in _WRAPPERS or scheme not in _SCHEMES | more:
        hint = f"read are {', '.join(sorted(_SCHEMES))}"
        hint += "" if scheme in _WRAPPERS else f"; others if the environment allows them: {ALLOW}={scheme}"
        return f"is a URL of the scheme {scheme!r}, which is not read", hint
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        return f"is not a URL: {error}", ""
    user, _, _ = parts.netloc.rpartition("@")
    if ":" in user or (user and scheme in ("http", "https")) or ((found := USER.match(url)) and ":" in found["user"]):
        return "holds a password", "leave it to the environment: a URL is written into plans and reports"
    if secret := next((name for name, _ in parse_qsl(parts.query) if _SECRET.search(name)), ""):
        return f"holds a secret, {secret!r}", "leave it to the environment: a URL is written into plans and reports"
    if scheme not in ("file", "memory") and not parts.netloc:
        return "names no bucket or server", f"wanted {scheme}://BUCKET/FOLDER"
    if scheme in ("http", "https") and not _PLAIN_HOST.fullmatch(host):
        return "has no plain host", "write the host in letters, digits, '.' and '-': a name of other letters as xn--..."
    if scheme in ("http", "https") and "local" not in more and _is_local_name(host):
        return "is an address of this machine", f"{ALLOW}=local allows it"
    return "", ""


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query."""
    try:
        parts = urlsplit(url)
        return hidden(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
    except ValueError:
        return f"{scheme_of(url)}://..."


def _is_local_name(host: str) -> bool:
    """Return whether a host is this machine, by its name or address, without a lookup."""
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return is_local(host)
    except ValueError:
        return _numeric(host)


def _numeric(host: str) -> bool:
    """Return whether a host is a local address in an old notation, such as 2130706433 or 0x7f.1."""
    try:
        return is_local(socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, ValueError):
        return False


def is_local(address: str) -> bool:
    """Return whether an IP address is of this machine, or link-local like cloud metadata services.

    Raises ValueError for an invalid address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return True
    return _is_own(ip)


def _is_own(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address belongs to this machine, tested by binding it."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True
