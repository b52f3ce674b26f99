"""Text that a terminal shows instead of obeying it, whatever a file or class is called."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from autolabel.redact import hidden

COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the direction of writing, halves of surrogate pairs."""


def escape(text: str) -> str:
    """Return a text with what a terminal would obey, or cannot encode, written out; line ends stay."""
    return COMMANDS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escape_json(text: str) -> str:
    """Return JSON that says the same and holds nothing that a terminal would obey."""
    return COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class LiteralConsole(Console):
    """A console on which data cannot move the cursor, change colours or become a pictogram."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, with the text of every piece escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escape(hidden(segment.text)), segment.style)

    def say(self, text: str) -> None:
        """Print a text literally, with no secrets of URLs, without breaking its lines."""
        self.print(escape(hidden(text)), markup=False, soft_wrap=True)


class LiteralFormatter(logging.Formatter):
    """Formats log records so that a terminal shows them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, with no secrets of URLs."""
        return escape(hidden(super().format(record)))
