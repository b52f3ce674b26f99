"""What is wrong with a document by its JSON Schema, each fault with its JSON pointer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from autolabel.errors import Problem

_LONGEST = 200
_MOST = 20


def schema_faults(value: Any, schema: Mapping[str, Any], *, file: str, line: int = 0) -> Iterator[Problem]:
    """Yield what a schema (draft 2020-12) does not allow in a JSON value, in the order of places."""
    from jsonschema import Draft202012Validator

    found = Draft202012Validator(schema).iter_errors(value)
    for error in sorted(found, key=lambda error: list(map(str, error.absolute_path))):
        parts = [str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path]
        pointer = "/" + "/".join(parts) if parts else ""
        yield Problem(file=file, line=line, column=int(bool(line)), path=pointer, message=_shortened(error.message))


def why_refused(
    text: bytes, schema: Mapping[str, Any], *, file: str, said: str, hint: str = "", most: int = _MOST
) -> list[Problem]:
    """Return the first faults of JSON that a faster reader has refused, after the words ``said``.

    Empty if the text is no JSON, or the schema allows it.
    """
    try:
        found = list(islice(schema_faults(json.loads(text), schema, file=file), most))
    except (ValueError, RecursionError):
        return []
    return [replace(one, message=f"{said}: {one.message}", hint=hint) for one in found]


def _shortened(text: str) -> str:
    """Return a message on one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
