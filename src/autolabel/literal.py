"""Escape text for terminals, put it on one line, and remove secrets of URLs."""

from __future__ import annotations

import logging
import re

from autolabel.redact import hidden

COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the direction of writing, halves of surrogate pairs."""


def escape(text: str) -> str:
    """Return a text with control characters and unencodable characters escaped; line ends are kept."""
    return COMMANDS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """Return a text on one line: what cannot be printed and runs of white space become single spaces."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def escape_json(text: str) -> str:
    """Return equivalent JSON without control characters."""
    return COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class LiteralFormatter(logging.Formatter):
    """Formats log records with escaped text, for terminals and files."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, with no secrets of URLs."""
        return escape(hidden(super().format(record)))
