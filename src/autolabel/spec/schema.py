"""The JSON Schemas of the spec, for editors and other programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autolabel.registry import KINDS, Entry, Kind, Registry
from autolabel.spec.model import Spec
from autolabel.spec.tao_table import NATIVE, ROWS, TYPES, tao_model

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOT_GIVEN = ["???", "", None]

_Json = dict[str, Any]


def spec_schema(registry: Registry) -> _Json:
    """Return the schema of a native spec that uses the strategies of ``registry``."""
    schema = _replaced(Spec.model_json_schema(), _named_choice)
    for kind in KINDS:
        entries = [entry for entry in registry if entry.kind == kind]
        schema["$defs"][kind] = _choice(kind, entries)
        for entry in entries:
            schema["$defs"] |= _params(entry)
    return {"$schema": _DIALECT, **schema, "title": "autolabel spec"}


def tao_schema() -> _Json:
    """Return the schema of TAO's ``auto_label`` spec, with the native keys that may stand beside TAO's own.

    A value that is ``???``, null or empty counts as not given.
    """
    native = _replaced(Spec.model_json_schema(), _any_choice)
    schema = tao_model().model_json_schema()
    definitions = {name: _optional(section) for name, section in schema["$defs"].items() if name.startswith("TaoSpec")}
    kept = {name: section for name, section in schema["$defs"].items() if name not in definitions}
    properties = _optional(schema)["properties"] | {key: native["properties"][key] for key in NATIVE}
    properties["autolabel_type"] = {"enum": [*TYPES, *_NOT_GIVEN], "default": "mal"}
    return {
        "$schema": _DIALECT,
        **schema,
        "title": "TAO auto_label spec",
        "$defs": _used(properties, definitions | kept | native["$defs"]),
        "properties": properties,
        "allOf": [_when(kind) for kind in TYPES],
    }


def _used(properties: _Json, definitions: _Json) -> _Json:
    """Return the definitions that ``properties`` refer to, directly or through others."""
    used: _Json = {}

    def visit(node: _Json) -> _Json | None:
        name = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if name and name not in used:
            used[name] = definitions[name]
            _replaced(definitions[name], visit)
        return None

    _replaced(properties, visit)
    return used


def _replaced(node: Any, replace: Callable[[_Json], _Json | None]) -> Any:
    """Return a schema in which each object is replaced if ``replace`` returns a replacement."""
    if isinstance(node, list):
        return [_replaced(item, replace) for item in node]
    if not isinstance(node, dict):
        return node
    other = replace(node)
    return {key: _replaced(child, replace) for key, child in node.items()} if other is None else other


def _named_choice(node: _Json) -> _Json | None:
    return {"$ref": f"#/$defs/{node['x-autolabel-kind']}"} if "x-autolabel-kind" in node else None


def _any_choice(node: _Json) -> _Json | None:
    if "x-autolabel-kind" not in node:
        return None
    return {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}


def _choice(kind: Kind, entries: list[Entry]) -> _Json:
    """Return the schema of ``{type: name, ...}``: the name decides the parameters.

    A look has two short forms: its name, and its name with its first parameter.
    """
    whole = _whole_choice(kind, entries)
    if kind != "look":
        return whole
    names = {"enum": [entry.name for entry in entries if not _required(entry)]}
    return {"title": "Look", "anyOf": [names, *map(_first_parameter, filter(_fields, entries)), whole]}


def _fields(entry: Entry) -> list[str]:
    """Return the names of a strategy's parameters."""
    return list(entry.strategy.Params.model_fields)


def _required(entry: Entry) -> bool:
    """Return whether a strategy has a parameter that must be given."""
    return any(field.is_required() for field in entry.strategy.Params.model_fields.values())


def _first_parameter(entry: Entry) -> _Json:
    """Return the schema of ``{name: value}``."""
    first = entry.strategy.Params.model_json_schema()["properties"][_fields(entry)[0]]
    return {
        "type": "object",
        "required": [entry.name],
        "properties": {entry.name: first},
        "additionalProperties": False,
    }


def _whole_choice(kind: Kind, entries: list[Entry]) -> _Json:
    return {
        "title": kind.capitalize(),
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": [entry.name for entry in entries]} if entries else False},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": entry.name}}, "required": ["type"]},
                "then": {"$ref": f"#/$defs/{kind}.{entry.name}"},
            }
            for entry in entries
        ],
    }


def _params(entry: Entry) -> _Json:
    """Return the definitions of a strategy's parameters; nested definitions are prefixed with its name."""
    name = f"{entry.kind}.{entry.name}"
    schema = entry.strategy.Params.model_json_schema()

    def prefixed(node: _Json) -> _Json | None:
        if not isinstance(node.get("$ref"), str):
            return None
        return {**node, "$ref": node["$ref"].replace("#/$defs/", f"#/$defs/{name}.")}

    inner = schema.pop("$defs", {})
    schema["properties"] = {"type": {"const": entry.name}, **schema.get("properties", {})}
    schema["title"] = f"{entry.name} ({entry.kind})"
    return {name: _replaced(schema, prefixed)} | {
        f"{name}.{key}": _replaced(child, prefixed) for key, child in inner.items()
    }


def _optional(section: _Json) -> _Json:
    """Return a section of TAO's schema in which every value may be left open."""
    properties = {}
    for key, value in section["properties"].items():
        shape = {name: part for name, part in value.items() if name not in ("default", "description", "title")}
        about = {name: value[name] for name in ("description",) if name in value}
        properties[key] = {**about, "anyOf": [shape, {"enum": _NOT_GIVEN}]}
    return {**section, "properties": properties}


def _when(kind: str) -> _Json:
    """Return the required keys for ``autolabel_type: kind``; the default type is mal."""
    nested: _Json = {}
    for row in ROWS:
        if row.required and row.section == kind:
            branch = nested
            for part in row.path.split("."):
                branch = branch.setdefault(part, {})
    demanded = [_demanded(nested), {"anyOf": [_demanded({"results_dir": {}}), _demanded({kind: {"results_dir": {}}})]}]
    if kind == "grounding_dino":
        demanded.append(
            {"oneOf": [_demanded({kind: {"dataset": {key: {}}}}) for key in ("class_names", "noun_chunk_path")]}
        )
    condition = {"properties": {"autolabel_type": {"enum": [kind, *_NOT_GIVEN] if kind == "mal" else [kind]}}}
    return {"if": {**condition, "required": [] if kind == "mal" else ["autolabel_type"]}, "then": {"allOf": demanded}}


def _demanded(tree: _Json) -> _Json:
    """Return a schema that requires the leaves of ``tree``."""
    if not tree:
        return {"not": {"enum": [*_NOT_GIVEN, []]}}
    branches = {key: _demanded(child) for key, child in tree.items()}
    return {"type": "object", "required": list(tree), "properties": branches}
