"""Limits on a YAML text, kept before anything is built from it."""

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
    """A text that no spec looks like; ``mark`` is where it goes too far."""

    def __init__(self, mark: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mark = mark
        self.hint = hint


def check(stream: Iterable[Any]) -> None:
    """Raise LimitError at the first event of a parser that leads too deep, too far, or in a circle.

    At most 50 levels, 100 aliases, and 50,000 keys and values when all aliases are written out; one document; every
    alias leads to an anchor that stands before it. Ends with the events; passes on what their parser raises.
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
            raise LimitError(event.start_mark, f"more than {_MAX_NODES:,} values, aliases written out")


def _size(event: Any, sizes: dict[str, int | None]) -> int:
    """Return how many nodes an alias stands for."""
    if event.anchor not in sizes:
        hint = "put a text that begins with * in quotes"
        raise LimitError(event.start_mark, f"no anchor is called {short(event.anchor)}", hint)
    size = sizes[event.anchor]
    if size is None:
        raise LimitError(event.start_mark, f"the anchor {short(event.anchor)} contains itself")
    return size
