"""JSON Schemas of documents, and what is wrong with one by its schema, each fault with its JSON pointer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from autolabel.errors import Problem

if TYPE_CHECKING:
    import msgspec
    from jsonschema.exceptions import ValidationError

_LONGEST = 200
_MOST = 20


def struct_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the documents that a type describes."""
    from msgspec.json import schema

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema(kind)}


def schema_faults(value: Any, schema: Mapping[str, Any], *, file: str, line: int = 0) -> Iterator[Problem]:
    """Yield what a schema (draft 2020-12) does not allow in a JSON value, in the order of places."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    found = map(best_match, zip(Draft202012Validator(schema).iter_errors(value)))
    for error in sorted(found, key=lambda error: list(map(str, error.absolute_path))):
        parts = [str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path]
        pointer = "/" + "/".join(parts) if parts else ""
        yield Problem(file=file, line=line, column=int(bool(line)), path=pointer, message=_shortened(_said(error)))


def why_refused(text: bytes, schema: Mapping[str, Any], *, file: str = "", most: int = _MOST) -> list[Problem]:
    """Return the first faults of JSON that a faster reader has refused.

    Empty if the text is no JSON, or the schema allows it.
    """
    try:
        return list(islice(schema_faults(json.loads(text), schema, file=file), most))
    except (ValueError, RecursionError):
        return []


def _said(error: ValidationError) -> str:
    """Return what is wrong; of a value that may be of several types, which ones."""
    if all(one.validator == "type" for one in error.context or ()) and error.context:
        types = dict.fromkeys(str(one.validator_value) for one in error.context)
        return f"{error.instance!r} is not of type {', '.join(map(repr, types))}"
    return str(error.message)


def _shortened(text: str) -> str:
    """Return a message on one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
