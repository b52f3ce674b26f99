"""Text that stays text inside XML."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, not even escaped."""
REPLACEMENT = "\ufffd"


def content(value: object) -> str:
    """Escape for the inside of an element; characters that XML cannot carry become U+FFFD."""
    return escape(FORBIDDEN.sub(REPLACEMENT, str(value)), {"\r": "&#13;"})


def quoted(value: object) -> str:
    """Return an attribute's value with its quotes; line ends and tabs survive as character references."""
    return quoteattr(FORBIDDEN.sub(REPLACEMENT, str(value)))


def element(tag: str, value: object) -> str:
    """Return ``<tag>value</tag>``, escaped."""
    return f"<{tag}>{content(value)}</{tag}>"


def opening(tag: str, /, **attributes: object) -> str:
    """Return ``<tag a="1" b="2">``, escaped."""
    return "<" + " ".join((tag, *(f"{name}={quoted(value)}" for name, value in attributes.items()))) + ">"
