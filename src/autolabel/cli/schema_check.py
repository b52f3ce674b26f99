"""Check a document against the published schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from autolabel.cli.schemas import SCHEMAS
from autolabel.errors import DataError, Problem, SpecError
from autolabel.schema_faults import schema_faults
from autolabel.spec import document

_BY_NAME = {"plan.json": "plan", "labels.jsonl": "labels", "review.json": "review"}
_MOST_PROBLEMS = 20


def check_document(path: Path, name: str | None = None) -> str:
    """Check a file against the named schema, or the one that the file's name implies; return the schema's name.

    A ``.jsonl`` file is checked line by line. Raises DataError with the JSON pointer of each fault, SpecError if no
    schema follows from the file's name.
    """
    chosen = name or _BY_NAME.get(path.name) or ("spec" if path.suffix in (".yaml", ".yml") else None)
    if chosen not in SCHEMAS:
        raise SpecError(
            f"{path}: no schema has this file's name", hint=f"name one after the file: {', '.join(SCHEMAS)}"
        )
    schema, problems = SCHEMAS[chosen](), list[Problem]()
    for line, value in _documents(path):
        problems += islice(schema_faults(value, schema, file=str(path), line=line), _MOST_PROBLEMS - len(problems))
        if len(problems) == _MOST_PROBLEMS:
            break
    if problems:
        raise DataError(problems)
    return chosen


def _documents(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the JSON or YAML documents of a file with their line numbers; 0 for a file with one document."""
    if path.suffix in (".yaml", ".yml"):
        yield 0, document.read_document(path).plain()
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    for number, line in enumerate(lines, 1):
        try:
            yield (number if path.suffix == ".jsonl" else 0), json.loads(line)
        except (ValueError, RecursionError) as error:
            where = number if path.suffix == ".jsonl" else getattr(error, "lineno", 1)
            column = getattr(error, "colno", 1)
            raise DataError(Problem(file=str(path), line=where, column=column, message=f"not JSON: {error}")) from error
