"""Remove the user, password and query of URLs from texts for people."""

from __future__ import annotations

import re

_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+:/+)"
_WITH_SLASHES = r"[^\s/?#:@\[\]]+:(?!\d+/)[^\s\"<>]*@"
"""A user with a password that holds a slash, as keys of S3 do; what is digits alone is a port."""
USER = re.compile(rf"{_SCHEME}(?P<user>[^\s/?#]*@|{_WITH_SLASHES})")
_END = r"(?=[\])}:;,.]*(?:[\s\"'<>]|$))"
_QUERY = re.compile(rf"{_SCHEME}(?P<rest>[^\s?#\"'<>]*)(?:\?|#(?=[^\s\"'<>]*=))[^\s\"'<>]+?{_END}")


def hidden(text: str) -> str:
    """Return a text with user, password and query removed from each URL, also from URLs with one slash."""
    if ":/" not in text:
        return text
    return _QUERY.sub(r"\g<scheme>\g<rest>", USER.sub(r"\g<scheme>", text))
