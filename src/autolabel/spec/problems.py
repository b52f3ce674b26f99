"""Turn pydantic's errors into this project's messages, with positions in the user's file."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from autolabel.errors import Problem
from autolabel.fields import meanings
from autolabel.registry import Registry
from autolabel.spec.choice import OneOf
from autolabel.spec.node import Loc, Node, dotted, short, trace_node

_MOST = 100
_YES_NO = {"yes": "true", "on": "true", "no": "false", "off": "false"}

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_ELSEWHERE = {"gpu_ids": "devices", "num_gpus": "devices"}

_WANTED = {
    "string_type": "text",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "wanted": "{wanted}",
    "string_pattern_mismatch": "text that matches {pattern}",
}
_LENGTHS = {"too_short": "at least {min_length}", "too_long": "at most {max_length}"}


def problems(
    error: ValidationError, root: Node, model: type[BaseModel], registry: Registry | None = None
) -> list[Problem]:
    """Return the problems of a validation, sorted by place; several errors about one value become one problem.

    ``root`` is the document that ``model`` was validated on. After a hundred problems, one more counts the rest.
    """
    grouped: dict[tuple[str, Loc, bool], list[Any]] = {}
    details = error.errors(include_url=False)
    for detail in filter(_counts, details[: 4 * _MOST]):
        missing = detail["type"] == "missing"
        place, words = trace_node(root, detail["loc"], missing=missing)
        grouped.setdefault((place.file, words, missing), []).append(detail)
    found = [_problem(group, root, model, registry) for group in grouped.values()]
    found = by_place(found)
    if len(found) > _MOST:
        rest = Problem(file=found[0].file, message=f"and {len(details) - _MOST:,} more problems")
        return [*found[:_MOST], rest]
    return found


def by_place(found: Iterable[Problem]) -> list[Problem]:
    """Return problems in the order of their places; those without a line come last."""
    return sorted(found, key=lambda one: (one.file, one.line or sys.maxsize, one.column))


def near(name: str, known: Sequence[str]) -> str:
    """Return a hint with the nearest name; if no name is near, with all of them if they are few."""
    if match := difflib.get_close_matches(name[:80], known, n=1):
        return f"did you mean {match[0]!r}?"
    return f"known here: {', '.join(known)}" if 0 < len(known) <= 12 else ""


def _show(value: object) -> str:
    """Return a value as the user would write it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return short(value)
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(str, value[:20]))}]"
        return (text if len(text) <= 40 else f"a list of {len(value)}") if value else "an empty list"
    return ("a mapping" if value else "an empty mapping") if isinstance(value, dict) else str(value)


def _counts(detail: Any) -> bool:
    """Return whether a length error is real: pydantic also reports one if some entries of the list are invalid."""
    return bool(detail["type"] != "too_short" or len(detail["input"]) < detail["ctx"]["min_length"])


def _problem(group: list[Any], root: Node, model: type[BaseModel], registry: Registry | None) -> Problem:
    detail = group[0]
    missing = detail["type"] == "missing"
    place, words = trace_node(root, detail["loc"], missing=missing)
    if missing:
        message, hint = "missing", _description(model, detail, root, registry)
    elif detail["type"] == "extra_forbidden":
        name = str(detail["loc"][-1])
        message = f"unknown key {short(name)}"
        hint = _hint_for_key(name, _models(model, detail["loc"][:-1], root, registry))
    else:
        message, hint = _complaint(group, written=_written(root, detail["loc"]))
    return Problem(
        file=place.file, line=place.line, column=place.column, path=dotted(words), message=message, hint=hint
    )


def _written(root: Node, loc: Loc) -> str:
    """Return the text of an unquoted scalar as the user wrote it."""
    node = root
    for part in loc:
        node = node.child(part) or node
    return node.written


def _complaint(group: list[Any], *, written: str) -> tuple[str, str]:
    wanted = list(dict.fromkeys(filter(None, map(_wanted, group))))
    detail = group[0]
    context = detail.get("ctx", {})
    if not wanted:
        text = context.get("said") or str(context.get("error", "")) or detail["msg"]
        return text[:1].lower() + text[1:], context.get("hint", "")
    value = detail["input"]
    found = written if written and isinstance(value, (int, float)) else _show(value)
    return f"found {found}, wanted {' or '.join(wanted)}", context.get("hint", "") or _hint(detail, written)


def _wanted(detail: Any) -> str:
    context = detail.get("ctx", {})
    if detail["type"] in ("string_too_short", "string_too_long"):
        least = context.get("min_length")
        return "text that is not empty" if least == 1 else f"{least or context.get('max_length')} characters"
    if detail["type"] == "too_short" and isinstance(detail["input"], str):
        return "text that is not empty"
    if detail["type"] in _LENGTHS:
        text = _LENGTHS[detail["type"]].format(**context)
        return f"{text} {'entry' if text.endswith(' 1') else 'entries'}"
    return _WANTED.get(detail["type"], "").format(**context)


def _hint(detail: Any, written: str) -> str:
    value, kind = detail["input"], detail["type"]
    if kind in ("bool_type", "bool_parsing") and isinstance(value, str) and value.lower() in _YES_NO:
        return f"write {_YES_NO[value.lower()]}"
    if kind == "string_type" and (isinstance(value, (int, float, bool)) or (value is None and written)):
        return f'put it in quotes: "{written or _show(value)}"'
    if kind in ("literal_error", "enum") and isinstance(value, str):
        known = re.findall("'([^']*)'", detail["ctx"]["expected"])
        match = difflib.get_close_matches(value[:80], known, n=1)
        if match:
            return f"did you mean {match[0]!r}?"
    return "write it without quotes" if isinstance(value, str) and _is_number(kind, value) else ""


def _is_number(kind: str, value: str) -> bool:
    """Return whether a number is wanted and a text that reads as one was found."""
    return kind not in ("string_type", "missing") and bool(_NUMBER.fullmatch(value))


def _clause(sentence: str) -> str:
    """Return a sentence without its capital and full stop."""
    first = sentence[:1].lower() if sentence[1:2].islower() else sentence[:1]
    return (first + sentence[1:]).rstrip(".")


def _description(model: type[BaseModel], detail: Any, root: Node, registry: Registry | None) -> str:
    if said := detail.get("ctx", {}).get("hint"):
        return str(said)
    for owner in _models(model, detail["loc"][:-1], root, registry):
        if text := meanings(owner).get(str(detail["loc"][-1])):
            return f"give {detail['loc'][-1]}: {_clause(text)}"
    return ""


def _hint_for_key(name: str, owners: list[type[BaseModel]]) -> str:
    """Return a hint with the nearest known key, a key of that name in a subsection, or all keys."""
    fields = {known: field for owner in owners for known, field in owner.model_fields.items()}
    below = [
        f"{section}.{name}"
        for section, field in fields.items()
        if isinstance(field.annotation, type) and name in getattr(field.annotation, "model_fields", {})
    ]
    if below:
        return f"did you mean {below[0]!r}?"
    if _ELSEWHERE.get(name) in fields:
        return f"did you mean {_ELSEWHERE[name]!r}?"
    return near(name, list(fields))


def _models(model: type[BaseModel], loc: Loc, root: Node, registry: Registry | None) -> list[type[BaseModel]]:
    """Return the models that describe the mapping at ``loc``: several where a field is a union of them."""
    node, marks = root, [cast(Any, model)]
    for part in loc:
        if (child := node.child(part)) is None:
            continue
        if isinstance(part, str):
            owners = [owner for mark in marks for owner in _owners(mark, node, registry)]
            fields = [owner.model_fields[part] for owner in owners if part in owner.model_fields]
            inner = [mark for field in fields for mark in (field.annotation, *field.metadata)]
            marks = inner or marks  # a key that the user chose: the model of every entry
        node = child
    return [owner for mark in marks for owner in _owners(mark, node, registry)]


def _owners(annotation: Any, node: Node, registry: Registry | None) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif isinstance(annotation, OneOf):
        name = node.child("type")
        entry = registry.entries.get((annotation.kind, str(name.value))) if registry and name else None
        yield from [entry.strategy.Params] if entry else []
    for argument in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _owners(argument, node, registry)
