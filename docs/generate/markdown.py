"""Markdown out of tables, docstrings, JSON Schemas."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell's line breaks and bars do no harm."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (headings, ["---"] * len(headings))]
    lines += ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return a text for one cell of a table."""
    return re.sub(r"\s*\n\s*", " ", text.strip()).replace("|", "\\|") or " "


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def plain(docstring: str | None) -> str:
    """Return a docstring as Markdown: its marks for code are single."""
    return inspect.cleandoc(docstring or "").replace("``", "`")


def sentence(text: str) -> str:
    """Return a text that begins with a capital and ends in a full stop."""
    text = plain(text)
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")


def default(field: Schema, *, required: bool) -> str:
    """Return a field's default."""
    if required:
        return "**required**"
    return code(json.dumps(field["default"])) if field.get("default") is not None else ""


def shape(schema: Schema) -> str:
    """Say in words what a JSON Schema allows."""
    if "x-autolabel-kind" in schema:
        kind = schema["x-autolabel-kind"]
        return f"[{kind}](#{kind}s): `{{type: ..., ...}}`"
    if options := schema.get("anyOf", schema.get("oneOf")):
        parts = [shape(part) for part in options if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(parts))
    if "enum" in schema or "const" in schema:
        return ", ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return listed(schema)
    if "$ref" in schema:
        return "mapping"
    words = {"boolean": "true or false", "string": "text", "object": "mapping", None: "anything"}
    kind = schema.get("type")
    return words.get(kind, str(kind)) + bounds(schema)


def listed(schema: Schema) -> str:
    """Say in words what an array holds."""
    if "prefixItems" in schema:
        shapes = [shape(part) for part in schema["prefixItems"]]
        if len(set(shapes)) > 1:
            return f"list: {', '.join(shapes)}"
        return f"list of {len(shapes)} {plural(shapes[0]) if len(shapes) > 1 else shapes[0]}"
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = f"{least} " if least == most and least else ""
    return f"list of {count}{plural(shape(schema.get('items', {})))}"


def plural(words: str) -> str:
    """Return the shape of several values: integers from 1 to 9, texts, links to several strategies."""
    return re.sub(r"^(\[?)(integer|number|text|mapping|list|exporter|labeler|look)\b", r"\1\2s", words)


def bounds(schema: Schema) -> str:
    """Say in words which numbers are allowed."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if above is not None:
        return f" > {above}" + (f", ≤ {high}" if high is not None else "")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" ≥ {low}" if low is not None else f" ≤ {high}" if high is not None else ""
