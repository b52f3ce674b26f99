"""Read a YAML file, or one YAML value, into nodes that carry their positions."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML, events
from ruamel.yaml.error import YAMLError

from autolabel.errors import Problem, SpecError
from autolabel.spec.limits import MAX_BYTES, LimitError, check
from autolabel.spec.node import Node, Place, Scalar, short
from autolabel.spec.scalar import resolve_scalar

FAST = find_spec("_ruamel_yaml") is not None
"""Whether ruamel.yaml has its libyaml parser, thirty times faster than the pure one."""
_COLON = "found unexpected ':'"
"""libyaml's error for a colon in an unquoted text in brackets (a URL); YAML 1.2 and the pure parser allow it."""
_MAX_SLOW = 65_536
"""The longest text, in characters, that the pure parser reads if libyaml is installed."""
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNUSABLE = re.compile(r"[\x00\ud800-\udfff]")
_MOST = 100
_HINTS = {
    "mapping values are not allowed": "put a text that contains ': ' in quotes",
    "cannot start any token": "put a text that begins with @, ` or % in quotes",
    "unexpected end of stream": "close the quotes",
    "did not find expected key": "check the indentation, and that quotes and brackets are closed",
    "did not find expected ',' or": "check that the bracket is closed",
}

_Locate: TypeAlias = Callable[[Any], Place]


def read_document(path: str | Path) -> Node:
    """Return a spec file's mapping, every value with its line and column.

    The file is read as YAML 1.2: ``no`` is a text, ``010`` is ten. Raises SpecError, with a position for each problem,
    if the file cannot be read, is not UTF-8, is empty, or is not a mapping; for a syntax error, a duplicate key, a tag,
    a second document, or a number that is not finite. Limits on size, depth and aliases are checked first.
    """
    file = str(path)
    root = parse_document(_text(Path(path), file), lambda mark: Place(file, mark.line + 1, mark.column + 1))
    if root.value is None:
        raise SpecError(
            Problem(file=file, message="the file is empty", hint="`autolabel init` writes a spec to start from")
        )
    if not isinstance(root.value, dict):
        found = "a list" if isinstance(root.value, list) else "a single value"
        raise SpecError(_problem(root.place, f"found {found}, wanted a mapping of keys such as `version: 1`"))
    return root


def parse_document(text: str, locate: _Locate) -> Node:
    """Return one YAML document as nodes; ``locate`` turns a parser mark (line and column from 0) into a place.

    Raises SpecError as ``read_document`` does. A document without content is a node of None.
    """
    if bad := _UNPRINTABLE.search(text):
        mark = _Mark.at(text, bad.start())
        raise SpecError(_problem(locate(mark), f"the character {bad.group()!r} is not allowed"))
    try:
        return _build(text, locate, fast=FAST)
    except YAMLError as error:
        if not (FAST and _COLON in str(error) and len(text) <= _MAX_SLOW):
            raise SpecError(_syntax(error, text, locate)) from None
    try:
        return _build(text, locate, fast=False)
    except YAMLError as error:
        raise SpecError(_syntax(error, text, locate)) from None


def _build(text: str, locate: _Locate, *, fast: bool) -> Node:
    builder = _Builder(_events(text, fast=fast), locate)
    try:
        check(_events(text, fast=fast))
        root = builder.document()
    except LimitError as error:
        raise SpecError(_problem(locate(error.mark), str(error), hint=error.hint)) from None
    if builder.problems:
        raise SpecError(builder.problems[:_MOST])
    return root


def _events(text: str, *, fast: bool) -> Iterator[Any]:
    parsed: Iterator[Any] = YAML(typ="safe", pure=not fast).parse(text)
    return parsed


def _text(path: Path, file: str) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SpecError(Problem(file=file, message="is a folder, wanted a spec file"))
        if not stat.S_ISREG(mode):
            raise SpecError(Problem(file=file, message="is not a regular file"))
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except ValueError:
        raise SpecError(Problem(file=file, message="cannot be read: the path has a null character")) from None
    except OSError as error:
        reason = error.strerror or str(error)
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
    """Turns parser events into nodes, after the limits have been checked."""

    def __init__(self, stream: Iterator[Any], locate: _Locate) -> None:
        self.events = stream
        self.locate = locate
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node] = {}

    def document(self) -> Node:
        root = Node(None, self.locate(_Mark(0, 0)))
        for event in self.events:
            if isinstance(event, events.NodeEvent):
                root = self.node(event)
        return root

    def node(self, event: Any) -> Node:
        place = self.locate(event.start_mark)
        if isinstance(event, events.ScalarEvent):
            node = Node(self.scalar(event), place, written=event.value)
        elif isinstance(event, events.AliasEvent):
            return Node(self.anchors[event.anchor].value, place, written=self.anchors[event.anchor].written)
        else:
            node = Node(self.mapping() if isinstance(event, events.MappingStartEvent) else self.items(), place)
        if event.tag:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.note(event, f"the tag {short(tag)} is not allowed", hint="remove it")
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def mapping(self) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        for event in self.until(events.MappingEndEvent):
            key = self.key(event)
            child = self.node(next(self.events))
            if key == "<<":
                merged.append(child)
            elif key in entries:
                self.note(event, f"duplicate key {short(key)}")
            else:
                entries[key] = Node(child.value, self.locate(event.start_mark), written=child.written)
        for source in merged:
            self.merge(entries, source)
        return entries

    def merge(self, entries: dict[str, Node], source: Node) -> None:
        for node in source.value if isinstance(source.value, list) else [source]:
            if not isinstance(node.value, dict):
                self.problems.append(_problem(source.place, "`<<` needs a mapping, or a list of mappings"))
                return
            for key, child in node.value.items():
                entries.setdefault(key, child)

    def key(self, event: Any) -> str:
        """Return the text of a key; ``no``, ``010`` and ``null`` are names."""
        node = self.node(event)
        if isinstance(node.value, (dict, list)):
            self.note(event, "a key is a mapping or a list, wanted a word")
        return event.value if isinstance(event, events.ScalarEvent) else str(node.value)

    def items(self) -> list[Node]:
        return [self.node(event) for event in self.until(events.SequenceEndEvent)]

    def scalar(self, event: Any) -> Scalar:
        if bad := _UNUSABLE.search(event.value):
            self.note(event, f"the character {bad.group()!r} is not allowed")
        if not event.implicit[0]:
            return str(event.value)
        try:
            return resolve_scalar(event.value)
        except ValueError as error:
            self.note(event, str(error))
            return None

    def until(self, end: type) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, end):
                return
            yield event

    def note(self, event: Any, message: str, *, hint: str = "") -> None:
        self.problems.append(_problem(self.locate(event.start_mark), message, hint=hint))


def _problem(place: Place, message: str, *, hint: str = "") -> Problem:
    return Problem(file=place.file, line=place.line, column=place.column, message=message, hint=hint)


def _syntax(error: YAMLError, text: str, locate: _Locate) -> Problem:
    context, complaint = (getattr(error, name, None) for name in ("context", "problem"))
    said = ", ".join(part for part in (context, complaint) if part) or str(error)
    ends = "end of stream" in said
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    mark = next((mark for mark in (reversed(marks) if ends else marks) if mark), _Mark(0, 0))
    hint = next((hint for words, hint in _HINTS.items() if words in said), "")
    if text.split("\n")[mark.line : mark.line + 1] and text.split("\n")[mark.line][mark.column :].startswith("\t"):
        hint = "indent with spaces, not with tabs"
    return _problem(locate(mark), f"not YAML: {said}", hint=hint)
