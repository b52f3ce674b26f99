"""The published schemas: valid, fresh, complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from autolabel.registry import Registry
from autolabel.spec.schema import spec_schema
from autolabel.spec.tao_table import ROWS

PUBLISHED = Path(__file__).resolve().parents[2] / "schema"


Schemas = dict[str, dict[str, Any]]


@pytest.mark.parametrize("name", ["spec", "tao"])
def test_published_schema_is_fresh(name: str, schemas: Schemas) -> None:
    path = PUBLISHED / f"{name}.schema.json"
    fresh = path.is_file() and json.loads(path.read_text(encoding="utf-8")) == schemas[name]
    assert fresh, f"{path.name} is out of date; mend it with: autolabel schema --write"


@pytest.mark.parametrize("name", ["spec", "tao"])
def test_schema_is_one_and_its_references_lead_somewhere(name: str, schemas: Schemas) -> None:
    schema = schemas[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)
    targets = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert targets
    assert targets <= set(schema["$defs"])
    assert "x-autolabel-kind" not in text


def test_every_strategy_is_in_the_schema(builtins: Registry, schemas: Schemas) -> None:
    definitions = schemas["spec"]["$defs"]
    for entry in builtins:
        properties = definitions[f"{entry.kind}.{entry.name}"]["properties"]
        assert set(properties) == {"type", *entry.strategy.Params.model_fields}


def test_every_row_of_the_table_is_in_the_schema(schemas: Schemas) -> None:
    schema = schemas["tao"]
    for row in ROWS:
        section: Any = schema
        *parents, name = row.path.split(".")
        for part in parents:
            section = schema["$defs"][section["properties"][part]["anyOf"][0]["$ref"].removeprefix("#/$defs/")]
        assert name in section["properties"], row.path


def test_a_kind_without_strategies_allows_none() -> None:
    schema = spec_schema(Registry())
    validator = jsonschema.Draft202012Validator({**schema["$defs"]["exporter"], "$defs": schema["$defs"]})
    assert not validator.is_valid({"type": "coco"})
