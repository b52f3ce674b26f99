"""Limits on a YAML text, checked before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ruamel.yaml import events

from autolabel.spec.node import short

MAX_BYTES = 1_000_000
_MAX_DEPTH = 50
_MAX_ALIASES = 100
_MAX_NODES = 50_000

_STARTS = (events.MappingStartEvent, events.SequenceStartEvent)
_ENDS = (events.MappingEndEvent, events.SequenceEndEvent)


class LimitError(Exception):
    """A text exceeds a limit; ``mark`` is the position."""

    def __init__(self, mark: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mark = mark
        self.hint = hint


def check(stream: Iterable[Any]) -> None:
    """Raise LimitError at the first parser event that exceeds a limit.

    The limits are 50 levels, 100 aliases, 50,000 keys and values with all aliases expanded, and one document. Every
    alias must refer to an earlier anchor, and no anchor may contain itself. The parser's own exceptions pass through.
    """
    nodes, aliases, documents = 0, 0, 0
    sizes: dict[str, int | None] = {}
    around: list[tuple[str | None, int]] = []
    for event in stream:
        if isinstance(event, events.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, _STARTS):
            around.append((event.anchor, nodes))
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = None
            if len(around) > _MAX_DEPTH:
                raise LimitError(event.start_mark, f"is nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(event, _ENDS):
            anchor, before = around.pop()
            if anchor:
                sizes[anchor] = nodes - before
        elif isinstance(event, events.AliasEvent):
            aliases += 1
            nodes += _size(event, sizes)
            if aliases > _MAX_ALIASES:
                raise LimitError(event.start_mark, f"more than {_MAX_ALIASES} aliases")
        elif isinstance(event, events.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise LimitError(event.start_mark, "a second document begins here, wanted one")
        if nodes > _MAX_NODES:
            raise LimitError(event.start_mark, f"more than {_MAX_NODES:,} values, with aliases expanded")


def _size(event: Any, sizes: dict[str, int | None]) -> int:
    """Return the number of nodes that an alias expands to."""
    if event.anchor not in sizes:
        hint = "put a text that begins with * in quotes"
        raise LimitError(event.start_mark, f"no anchor is called {short(event.anchor)}", hint)
    size = sizes[event.anchor]
    if size is None:
        raise LimitError(event.start_mark, f"the anchor {short(event.anchor)} contains itself")
    return size
