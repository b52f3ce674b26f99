"""Escape text for XML."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, not even escaped."""
_REPLACEMENT = "\ufffd"
_IN_CONTENT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTE = _IN_CONTENT | str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
"""Tables of our own: the standard library's module for this imports its HTTP client, too much for starting up."""


def _content(value: object) -> str:
    """Escape for the inside of an element; characters that XML cannot carry become U+FFFD."""
    return _FORBIDDEN.sub(_REPLACEMENT, str(value)).translate(_IN_CONTENT)


def _quoted(value: object) -> str:
    """Return an attribute's value with its quotes; line ends and tabs survive as character references."""
    return f'"{_FORBIDDEN.sub(_REPLACEMENT, str(value)).translate(_IN_ATTRIBUTE)}"'


def xml_element(tag: str, value: object, /, **attributes: object) -> str:
    """Return ``<tag a="1">value</tag>``, escaped."""
    return f"{opening(tag, **attributes)}{_content(value)}</{tag}>"


def opening(tag: str, /, **attributes: object) -> str:
    """Return ``<tag a="1" b="2">``, escaped."""
    return "<" + " ".join((tag, *(f"{name}={_quoted(value)}" for name, value in attributes.items()))) + ">"
