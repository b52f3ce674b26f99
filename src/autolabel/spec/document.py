"""Reading a YAML file, or one YAML value, into nodes that know their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml

from autolabel.errors import Problem, SpecError
from autolabel.spec.node import Node, Place, short
from autolabel.spec.scalar import resolve

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_ALIASES = 100
MAX_NODES = 100_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml: a hundred times faster than any pure parser
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNUSABLE = re.compile(r"[\x00\ud800-\udfff]")
_HINTS = {
    "mapping values are not allowed": "put a text that contains ': ' in quotes",
    "cannot start any token": "put a text that begins with @, ` or % in quotes; indent with spaces",
    "did not find expected key": "check the indentation, and that quotes and brackets are closed",
    "did not find expected ',' or": "check that the bracket is closed",
}

Locate: TypeAlias = Callable[[Any], Place]


def read(path: str | Path) -> Node:
    """Return a spec file's mapping, every value with its line and column.

    YAML 1.2: ``no`` is a text, ``010`` is ten. Raises SpecError, with a place for each, where the file cannot be read,
    is not UTF-8, is empty or no mapping; where it has a syntax error, a doubled key, a tag, a second document, a number
    that is not finite; and, before the rest is looked at, where it is larger, deeper or more repetitive than any spec.
    """
    file = str(path)
    root = parse(_text(Path(path), file), lambda mark: Place(file, mark.line + 1, mark.column + 1))
    if root.value is None:
        raise SpecError(
            Problem(file=file, message="the file is empty", hint="`autolabel init` writes a spec to start from")
        )
    if not isinstance(root.value, dict):
        found = "a list" if isinstance(root.value, list) else "a single value"
        raise SpecError(_problem(root.place, f"found {found}, wanted a mapping of keys such as `version: 1`"))
    return root


def parse(text: str, locate: Locate) -> Node:
    """Return one YAML document as nodes; ``locate`` turns a parser mark (line, column from 0) into a place.

    Raises SpecError as ``read`` does. A document without content is a node of None.
    """
    if bad := _UNPRINTABLE.search(text):
        mark = _Mark.at(text, bad.start())
        raise SpecError(_problem(locate(mark), f"the character {bad.group()!r} is not allowed"))
    builder = _Builder(yaml.parse(text, Loader=_LOADER), locate)
    try:
        root = builder.document()
    except yaml.YAMLError as error:
        builder.problems.append(_syntax(error, locate))
        raise SpecError(builder.problems) from None
    if builder.problems:
        raise SpecError(builder.problems)
    return root


def _text(path: Path, file: str) -> str:
    if path.is_dir():
        raise SpecError(Problem(file=file, message="is a folder, wanted a spec file"))
    if path.exists() and not path.is_file():
        raise SpecError(Problem(file=file, message="is no regular file"))
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(Problem(file=file, message=f"cannot be read: {reason[:1].lower()}{reason[1:]}")) from None
    if len(data) > MAX_BYTES:
        raise SpecError(Problem(file=file, message=f"is larger than {MAX_BYTES:,} bytes, too large for a spec"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _Mark.at(data[: error.start].decode("utf-8", "replace"), None)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        place = Place(file, mark.line + 1, mark.column + 1)
        raise SpecError(_problem(place, message, hint="save the file as UTF-8")) from None


class _Mark:
    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column

    @classmethod
    def at(cls, text: str, index: int | None) -> _Mark:
        lines = text[:index].split("\n")
        return cls(len(lines) - 1, len(lines[-1]))


class _Builder:
    """Turns parser events into nodes; counts as it goes, so that nothing large is ever built."""

    def __init__(self, events: Iterator[Any], locate: Locate) -> None:
        self.events = events
        self.locate = locate
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.aliases = 0
        self.nodes = 0

    def document(self) -> Node:
        root = Node(None, self.locate(_Mark(0, 0)))
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop(event, "a second document begins here, wanted one")
            elif isinstance(event, yaml.NodeEvent):
                root = self.node(event, 1)
        return root

    def node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if depth > MAX_DEPTH:
            self.stop(event, f"is nested deeper than {MAX_DEPTH} levels")
        self.count(event, 1)
        before = self.nodes
        if event.anchor:
            self.anchors[event.anchor] = None
        if event.tag:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.note(event, f"the tag {short(tag)} is not allowed", hint="remove it")
        node = self.content(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node, self.nodes - before + 1
        return node

    def content(self, event: Any, depth: int) -> Node:
        place = self.locate(event.start_mark)
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self.mapping(depth), place)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self.items(depth), place)
        return Node(self.scalar(event), place)

    def alias(self, event: Any) -> Node:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.stop(event, f"more than {MAX_ALIASES} aliases")
        if event.anchor not in self.anchors:
            self.stop(
                event, f"no anchor is called {short(event.anchor)}", hint="put a text that begins with * in quotes"
            )
        anchored = self.anchors[event.anchor]
        if anchored is None:
            self.stop(event, f"the anchor {short(event.anchor)} contains itself")
        node, size = anchored
        self.count(event, size)
        return Node(node.value, self.locate(event.start_mark))

    def mapping(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        for event in self.until(yaml.MappingEndEvent):
            key = self.key(event, depth)
            child = self.node(next(self.events), depth + 1)
            if key == "<<":
                merged.append(child)
            elif key in entries:
                self.note(event, f"the key {short(key)} is there twice")
            else:
                entries[key] = Node(child.value, self.locate(event.start_mark))
        for source in merged:
            self.merge(entries, source)
        return entries

    def merge(self, entries: dict[str, Node], source: Node) -> None:
        for node in source.value if isinstance(source.value, list) else [source]:
            if not isinstance(node.value, dict):
                self.problems.append(_problem(source.place, "`<<` wants a mapping, or a list of mappings"))
                return
            for key, child in node.value.items():
                entries.setdefault(key, child)

    def key(self, event: Any, depth: int) -> str:
        """A key is its text, whatever it looks like: ``no``, ``010`` and ``null`` are names."""
        node = self.node(event, depth + 1)
        if isinstance(node.value, (dict, list)):
            self.note(event, "a key is a mapping or a list, wanted a word")
        return event.value if isinstance(event, yaml.ScalarEvent) else str(node.value)

    def items(self, depth: int) -> list[Node]:
        return [self.node(event, depth + 1) for event in self.until(yaml.SequenceEndEvent)]

    def scalar(self, event: Any) -> Any:
        if bad := _UNUSABLE.search(event.value):
            self.note(event, f"the character {bad.group()!r} is not allowed")
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self.note(event, str(error))
            return None

    def until(self, end: type) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, end):
                return
            yield event

    def count(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.stop(event, f"more than {MAX_NODES:,} values, aliases written out")

    def note(self, event: Any, message: str, *, hint: str = "") -> None:
        self.problems.append(_problem(self.locate(event.start_mark), message, hint=hint))

    def stop(self, event: Any, message: str, *, hint: str = "") -> NoReturn:
        self.note(event, message, hint=hint)
        raise SpecError(self.problems)


def _problem(place: Place, message: str, *, hint: str = "") -> Problem:
    return Problem(file=place.file, line=place.line, column=place.column, message=message, hint=hint)


def _syntax(error: yaml.YAMLError, locate: Locate) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None) or _Mark(0, 0)
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    text = ", ".join(part for part in parts if part) or str(error)
    hint = next((hint for words, hint in _HINTS.items() if words in text), "")
    return _problem(locate(mark), f"not YAML: {text}", hint=hint)
