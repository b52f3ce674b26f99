"""Apply overrides from the command line: ``key.path=value``, ``+key=value`` and ``~key``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from autolabel.errors import Problem, SpecError
from autolabel.paths import CommandLineText
from autolabel.redact import hidden
from autolabel.spec import document
from autolabel.spec.node import Loc, Node, Place, dotted, short

COMMAND_LINE = "<command line>"

_SECRET = re.compile(r"(?i)api_key|secret|passw")
"""Keys whose values never appear in messages."""
_Parse = Callable[[str, Place], Node]
"""Turns the text of a value into a node."""


def yaml_value(text: str, place: Place) -> Node:
    """Return a value that is written in YAML."""
    return document.parse_document(text, lambda mark: place)


_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+|\[\d+\])*")
_PART = re.compile(r"[\w-]+")


def apply_overrides(root: Node, arguments: Sequence[str], *, parse: _Parse = yaml_value) -> Node:
    """Return a copy of ``root`` with each override applied, in order.

    Keys are those of the document's own dialect. List entries are addressed by index, ``stages.0.ask`` or
    ``stages[0].ask``; missing mappings are created. ``key=value``, ``+key=value`` and ``++key=value`` set a key,
    ``~key`` removes one, and ``~key=value`` removes it if it has that value. ``parse`` reads the values, by default
    as YAML 1.2; relative paths in them are resolved against the working directory. Raises SpecError with every argument
    that is not an override, cannot be read, or addresses an entry of a scalar or one past the end of a list.
    """
    wrong: list[Problem] = []
    for argument in arguments:
        place = Place(f"{COMMAND_LINE} {_shown(argument)}")
        try:
            remove, loc, value = _read(argument, place, parse)
            root = _removed(root, loc, value, place) if remove else _replaced(root, loc, value or Node(None, place), ())
        except SpecError as error:
            wrong += error.problems
    if wrong:
        raise SpecError(wrong)
    return root


def _shown(argument: str) -> str:
    name, equals, _ = argument.partition("=")
    argument = f"{name}=***" if equals and _SECRET.search(name) else hidden(argument)
    text = argument if argument.isprintable() else repr(argument)[1:-1]
    return text if len(text) <= 100 else f"{text[:97]}..."


def _read(argument: str, place: Place, parse: _Parse) -> tuple[bool, Loc, Node | None]:
    """Return whether a key is removed, its path, and its value, None if no value is given."""
    key, equals, text = argument.strip().partition("=")
    mark = next((mark for mark in ("++", "+", "~") if key.startswith(mark)), "")
    key = key.removeprefix(mark).strip()
    if (not equals and mark != "~") or not _KEY.fullmatch(key):
        message = "is not an override" if not equals else f"{short(key)} is not a path of keys"
        hint = "write key.path=value, such as run.batch_size=8"
        raise SpecError(Problem(file=place.file, message=message, hint=hint))
    if not equals:
        return True, _parts(key), None
    node = parse(text, place)
    return mark == "~", _parts(key), Node(_from_command_line(node).value, place)


def _removed(root: Node, loc: Loc, value: Node | None, place: Place) -> Node:
    """Return a document without a key, which must exist and have ``value`` if one is given."""
    node = root.find(loc)
    if node is None:
        raise SpecError(Problem(file=place.file, path=dotted(loc), message="cannot be removed: no such key"))
    if value is not None and node.plain() != value.plain():
        raise SpecError(Problem(file=place.file, path=dotted(loc), message="has another value, so it is not removed"))
    return _without(root, loc)


def _without(node: Node, loc: Loc) -> Node:
    part, rest = loc[0], loc[1:]
    if isinstance(node.value, list):
        items = list(node.value)
        index = int(part)
        items[index : index + 1] = [_without(items[index], rest)] if rest else []
        return node._replace(value=items)
    assert isinstance(node.value, dict)
    entries = {key: child for key, child in node.value.items() if key != part or rest}
    if rest:
        entries[str(part)] = _without(entries[str(part)], rest)
    return node._replace(value=entries)


def _parts(key: str) -> Loc:
    return tuple(int(part) if part.isdigit() else part for part in _PART.findall(key))


def _from_command_line(node: Node) -> Node:
    """Mark every text as the command line's: relative paths in it are resolved against the working directory."""
    if isinstance(node.value, dict):
        return Node({key: _from_command_line(child) for key, child in node.value.items()}, node.place)
    if isinstance(node.value, list):
        return Node([_from_command_line(child) for child in node.value], node.place)
    return Node(CommandLineText(node.value), node.place) if isinstance(node.value, str) else node


def _replaced(node: Node, loc: Loc, new: Node, done: Loc) -> Node:
    if not loc:
        return new
    part, rest = loc[0], loc[1:]
    if isinstance(node.value, list):
        items = list(node.value)
        index = _index(part, items, new.place, done)
        items[index] = _replaced(items[index], rest, new, (*done, index))
        return Node(items, node.place)
    if node.value is not None and not isinstance(node.value, dict):
        message = f"is a single value and has no key {short(str(part))}"
        raise SpecError(Problem(file=new.place.file, path=dotted(done), message=message))
    entries, key = dict(node.value or {}), str(part)
    entries[key] = _replaced(entries.get(key, Node(None, new.place)), rest, new, (*done, key))
    return Node(entries, node.place)


def _index(part: str | int, items: list[Node], place: Place, done: Loc) -> int:
    if isinstance(part, int) and part < len(items):
        return part
    hint = f"its entries are numbered from 0 to {len(items) - 1}" if items else "the list is empty"
    message = f"is a list and has no entry {short(str(part))}"
    raise SpecError(Problem(file=place.file, path=dotted(done), message=message, hint=hint))
