"""A value of a spec with its position in the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from autolabel.errors import Problem

Loc: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = str | int | float | bool | None

_BARE = re.compile(r"[\w-]+")


class Place(NamedTuple):
    """A file as the user named it, with a line and column that count from 1 (0: not known)."""

    file: str
    line: int = 0
    column: int = 0


class Node(NamedTuple):
    """A scalar, a mapping of nodes or a list of nodes; never changed, so that aliases can share it.

    ``place`` is where the entry begins: the key of a mapping's entry, the item of a list.
    ``words`` is the path that the user wrote, if a rewrite has moved the node.
    """

    value: Scalar | dict[str, Node] | list[Node]
    place: Place
    words: Loc | None = None
    written: str = ""
    """The text of an unquoted scalar in the document."""

    def plain(self) -> object:
        """Return the value as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """Return the entry of a mapping or list, or None if it has none."""
        value = self.value
        if isinstance(value, dict) and isinstance(part, str):
            entry: Node | None = value.get(part)
            return entry
        if isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
            item: Node = value[part]
            return item
        return None

    def find(self, loc: Loc) -> Node | None:
        """Return the node at a path, or None."""
        node: Node | None = self
        for part in loc:
            node = node.child(part) if node else None
        return node


def from_plain(value: object, place: Place) -> Node:
    """Return plain data as nodes that all have one place; a path becomes its text."""
    if isinstance(value, Mapping):
        return Node({str(key): from_plain(child, place) for key, child in value.items()}, place)
    if isinstance(value, (list, tuple)):
        return Node([from_plain(child, place) for child in value], place)
    return Node(os.fspath(value) if isinstance(value, os.PathLike) else value, place)  # type: ignore[arg-type]


def trace_node(root: Node, loc: Loc, *, missing: bool = False) -> tuple[Place, Loc]:
    """Return the place and the user's own path of the deepest node on the way to ``loc``.

    Parts that match no node, such as pydantic's union tags, are left out. With ``missing``, the last part is the name
    of an absent key, and is kept.
    """
    node, words = root, root.words or ()
    for part in loc[:-1] if missing else loc:
        if (child := node.child(part)) is not None:
            node, words = child, child.words or (*words, part)
    return node.place, (*words, loc[-1]) if missing and loc else words


def walk_nodes(node: Node, words: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """Yield every node below ``node`` with its path, entries in order, parents first."""
    entries: Sequence[tuple[str | int, Node]] = []
    if isinstance(node.value, dict):
        entries = list(node.value.items())
    elif isinstance(node.value, list):
        entries = list(enumerate(node.value))
    for part, child in entries:
        yield (*words, part), child
        yield from walk_nodes(child, (*words, part))


def dotted(loc: Loc) -> str:
    """Return a path as text: ``stages[0].scheduler.type``; keys that are not plain words are quoted."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{short(part)}]"
    return text


def short(text: str, width: int = 60) -> str:
    """Return a text quoted, escaped and cut to about ``width`` characters."""
    return repr(str(text) if len(text) <= width else f"{text[: width - 3]}...")


def problem(root: Node, loc: Loc, message: str, *, hint: str = "", missing: bool = False) -> Problem:
    """Return a problem at the place, and under the name, that the user wrote for ``loc``."""
    place, words = trace_node(root, loc, missing=missing)
    return Problem(
        file=place.file, line=place.line, column=place.column, path=dotted(words), message=message, hint=hint
    )
