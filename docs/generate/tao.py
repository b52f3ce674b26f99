"""What becomes of each key of TAO's ``auto_label`` spec."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from autolabel.spec.tao_table import NATIVE, ROWS, TaoKey
from docs.generate.markdown import code, shape, table

BY_RULE = "see [Rules](#rules)"


def mapped() -> str:
    """Return the table of the keys that have an effect."""
    rows = [row for row in ROWS if not row.unused and row.path not in NATIVE]
    headings = ("TAO key", "native key", "value", "default")
    return table(headings, ((code(row.path), target(row), shape(schema(row)), absent(row)) for row in rows))


def target(row: TaoKey) -> str:
    """Return where a key goes."""
    return code(row.to.replace("stage.", "stages[0].")) if row.to else BY_RULE


def schema(row: TaoKey) -> dict[str, object]:
    """Return the JSON Schema of a key's value."""
    found: dict[str, object] = TypeAdapter(row.type).json_schema()
    return found


def absent(row: TaoKey) -> str:
    """Return the default of a key, or that it is required."""
    if row.required:
        return "**required**"
    return code(json.dumps(row.default)) if row.default is not None else ""


def unused() -> str:
    """Return the keys without effect by the reason why they have none."""
    reasons: dict[str, list[str]] = {}
    for row in ROWS:
        if row.unused:
            reasons.setdefault(row.unused, []).append(code(row.path))
    return table(("reason", "keys"), ((why, ", ".join(paths)) for why, paths in reasons.items()))
