"""Consoles that print names literally: control characters in them have no effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from autolabel.literal import escape
from autolabel.redact import hidden


class LiteralConsole(Console):
    """A console on which data cannot move the cursor, change colours or become an emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, with the text of every piece escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escape(hidden(segment.text)), segment.style)

    def say(self, text: str) -> None:
        """Print a text literally, without secrets of URLs and without line breaks of its own."""
        self.print(escape(hidden(text)), markup=False, soft_wrap=True)
