"""Render the published JSON Schemas."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autolabel.certify import statement
from autolabel.doubts import doubt
from autolabel.errors import SpecError
from autolabel.improve import rounds
from autolabel.phrases import comparison
from autolabel.plan import plan_file
from autolabel.registry import discover
from autolabel.results import decision, record
from autolabel.spec.schema import spec_schema, tao_schema

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "spec": lambda: spec_schema(discover()),
    "tao": tao_schema,
    "plan": plan_file.plan_schema,
    "labels": record.labels_schema,
    "certificate": statement.certificate_schema,
    "review": decision.review_schema,
    "phrases": comparison.schema,
    "doubts": doubt.doubts_schema,
    "improvement": rounds.history_schema,
}


def schema_text(name: str) -> str:
    """Return a schema as JSON text; raises SpecError for an unknown name."""
    if name not in SCHEMAS:
        raise SpecError(f"unknown schema {name!r}", hint=f"one of {', '.join(SCHEMAS)}")
    return json.dumps(_undented(SCHEMAS[name]()), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _undented(value: Any) -> Any:
    """Return a schema with descriptions that are not indented; whether docstrings are depends on msgspec's version."""
    if isinstance(value, list):
        return [_undented(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: inspect.cleandoc(each) if key == "description" and isinstance(each, str) else _undented(each)
        for key, each in value.items()
    }


def write_all(folder: Path) -> list[Path]:
    """Write every schema into ``folder`` and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.schema.json" for name in SCHEMAS]
    for name, path in zip(SCHEMAS, paths, strict=True):
        path.write_text(schema_text(name), encoding="utf-8")
    return paths
