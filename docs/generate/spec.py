"""The reference of the native spec: its keys, and the parameters of every strategy that comes with autolabel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from autolabel.fields import meanings
from autolabel.registry import KINDS, Entry, discover
from autolabel.spec.model import Spec
from autolabel.strategies import Strategy
from docs.generate.markdown import code, default, plain, sentence, shape, table

OURS = "autolabel-vision"
HEADINGS = ("key", "value", "default", "meaning")
NAMES = {
    "Spec": "Top level",
    "DataSpec": "`data`",
    "ClassSpec": "`data.classes.NAME`",
    "StageSpec": "`stages[]`",
    "CombineSpec": "`stages[].combine`",
    "TilesSpec": "`stages[].tiles`",
    "LooksSpec": "`stages[].looks`",
    "DoubtSpec": "`stages[].looks.doubt`",
    "RunSpec": "`run`",
    "OutputSpec": "`output`",
    "FilterSpec": "`output.filter`",
    "SplitSpec": "`output.split`",
}


def sections() -> str:
    """Return a table for every mapping of a spec."""
    schema = Spec.model_json_schema() | {"description": "The keys at the top."}
    parts = {"Spec": schema, **{name: schema["$defs"][name] for name in NAMES if name != "Spec"}}
    return "\n\n".join(
        f"### {NAMES[name]}\n\n{sentence(part['description'])}\n\n{keys(part)}" for name, part in parts.items()
    )


def keys(part: dict[str, Any]) -> str:
    """Return the table of a mapping's keys."""
    required = part.get("required", ())
    return table(
        HEADINGS,
        (
            (code(name), shape(field), default(field, required=name in required), sentence(field["description"]))
            for name, field in part["properties"].items()
        ),
    )


def strategies() -> str:
    """Return a section for every kind, with one for every strategy of our own distribution."""
    entries = [entry for entry in discover() if entry.package == OURS]
    return "\n\n".join(
        f"### {kind.capitalize()}s\n\n" + "\n\n".join(strategy(entry) for entry in entries if entry.kind == kind)
        for kind in KINDS
    )


def strategy(entry: Entry) -> str:
    """Return the section of one strategy."""
    params = entry.strategy.Params
    parts = [f"#### `{entry.name}`", plain(entry.strategy.__doc__)]
    missing = any(not text for text in meanings(params).values())
    if missing and params.__doc__ != Strategy.Params.__doc__:
        parts.append(plain(params.__doc__))
    parts += parameters(params) if params.model_fields else ["It has no parameters."]
    return "\n\n".join(part for part in parts if part)


def parameters(model: type[BaseModel]) -> Iterator[str]:
    """Yield the table of a model's fields, then those of the models inside it."""
    schema, told = model.model_json_schema(), meanings(model)
    required = schema.get("required", ())
    yield table(
        HEADINGS,
        (
            (code(name), shape(field), default(field, required=name in required), sentence(told[name]))
            for name, field in schema["properties"].items()
        ),
    )
    for name, field in model.model_fields.items():
        for inner in models(field.annotation):
            yield f"In `{name}`:"
            yield from parameters(inner)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the pydantic models inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models(part)
