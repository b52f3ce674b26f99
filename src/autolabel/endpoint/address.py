"""Check the address of an endpoint, and whether it is on this machine."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from autolabel import urls

_COMPLETIONS = "chat/completions"


def fault_of(url: str) -> tuple[str, str]:
    """Return why a URL is not a valid endpoint, and a hint; both empty if it is valid.

    A server on this machine is allowed, because the user names the endpoint.
    """
    if urls.scheme_of(url) not in ("http", "https") or not urls.is_url(url):
        return (
            "is not an endpoint",
            "wanted the base URL of an OpenAI-compatible server, such as http://localhost:8000/v1",
        )
    fault, hint = urls.url_fault(url, local=True)
    if fault:
        return fault, hint
    parts = urlsplit(url)
    try:
        missing = not parts.hostname or parts.port == 0
    except ValueError:
        missing = True
    if missing:
        return "has no host, or a port that is none", "wanted a URL such as http://localhost:8000/v1"
    if parts.query or parts.fragment or parts.netloc.rpartition("@")[0]:
        return "has a user, a query or a fragment", "leave only the base URL: it is written into plans and reports"
    return "", ""


def completions(url: str) -> str:
    """Return the URL of chat completions, given that URL or the base URL of the API."""
    base = url.rstrip("/")
    return base if base.endswith(f"/{_COMPLETIONS}") else f"{base}/{_COMPLETIONS}"


def is_here(url: str) -> bool:
    """Return whether a URL's host is this machine, judged by its name or address without a lookup."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            ip = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, ValueError):
            return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified or urls._is_own(ip)
