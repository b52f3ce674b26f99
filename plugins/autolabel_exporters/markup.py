"""Text that stays text inside XML."""

from __future__ import annotations

import re

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, not even escaped."""
REPLACEMENT = "\ufffd"
IN_CONTENT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
IN_ATTRIBUTE = IN_CONTENT | str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
"""Tables of our own: the standard library's module for this imports its HTTP client, too much for starting up."""


def content(value: object) -> str:
    """Escape for the inside of an element; characters that XML cannot carry become U+FFFD."""
    return FORBIDDEN.sub(REPLACEMENT, str(value)).translate(IN_CONTENT)


def quoted(value: object) -> str:
    """Return an attribute's value with its quotes; line ends and tabs survive as character references."""
    return f'"{FORBIDDEN.sub(REPLACEMENT, str(value)).translate(IN_ATTRIBUTE)}"'


def element(tag: str, value: object) -> str:
    """Return ``<tag>value</tag>``, escaped."""
    return f"<{tag}>{content(value)}</{tag}>"


def opening(tag: str, /, **attributes: object) -> str:
    """Return ``<tag a="1" b="2">``, escaped."""
    return "<" + " ".join((tag, *(f"{name}={quoted(value)}" for name, value in attributes.items()))) + ">"
