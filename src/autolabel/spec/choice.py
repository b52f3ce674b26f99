"""A strategy chosen in a spec: ``{type: name, ...parameters}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from autolabel.errors import UnknownStrategyError
from autolabel.fields import meanings
from autolabel.registry import Entry, Kind, Registry
from autolabel.spec.node import Loc
from autolabel.strategies import Aggregator, Exporter, Labeler, Look, Scheduler, Strategy

_S = TypeVar("_S", bound=Strategy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Generic[_S]):
    """A strategy class, its validated parameters and the package that offers it."""

    kind: Kind
    name: str
    params: BaseModel
    strategy: type[_S]
    package: str
    version: str

    def make(self) -> _S:
        """Return a new strategy with these parameters."""
        return self.strategy(self.params)  # type: ignore[arg-type]

    def dump(self) -> dict[str, Any]:
        """Return the choice as plain JSON, in the form that a spec has, with every parameter."""
        return {"type": self.name, **self.params.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class OneOf:
    """Mark a field as a choice among the installed strategies of a kind; the validation context holds the registry."""

    kind: Kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            partial(_choose, self.kind), serialization=core_schema.plain_serializer_function_ser_schema(Choice.dump)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-autolabel-kind": self.kind}


SchedulerChoice = Annotated[Choice[Scheduler], OneOf("scheduler")]
AggregatorChoice = Annotated[Choice[Aggregator], OneOf("aggregator")]
LabelerChoice = Annotated[Choice[Labeler], OneOf("labeler")]
LookChoice = Annotated[Choice[Look], OneOf("look")]
ExporterChoice = Annotated[Choice[Exporter], OneOf("exporter")]


def _choose(kind: Kind, value: object, info: ValidationInfo) -> Choice[Any]:
    if isinstance(value, Choice) and value.kind == kind:
        return value
    if kind == "look":
        value = _written_out(value, info)
    if not isinstance(value, Mapping):
        raise PydanticCustomError(
            "wanted", "a mapping", {"wanted": f"a mapping such as {{type: {_short_name(value)}}}"}
        )
    if "type" not in value:
        hint = f"give type: the name of {_article(kind)}"
        raise _at("type", PydanticCustomError("missing", "missing", {"hint": hint}), value)
    entry = _entry(kind, value["type"], info)
    params = entry.strategy.Params.model_validate(
        {key: part for key, part in value.items() if key != "type"}, context=info.context
    )
    _refuse_coercion(value, params)
    return Choice(
        kind=kind,
        name=entry.name,
        params=params,
        strategy=entry.strategy,
        package=entry.package,
        version=entry.version,
    )


def _written_out(value: object, info: ValidationInfo) -> object:
    """Expand the short forms of a look: ``mirror``, and ``{zoom_out: 1.25}``, which sets its first parameter."""
    if isinstance(value, str):
        params = _entry("look", value, info).strategy.Params
        needed = next((name for name, field in params.model_fields.items() if field.is_required()), None)
        if needed is not None:
            hint = f"write {{{value}: ...}}: {meanings(params)[needed].rstrip('.')}"
            raise PydanticCustomError("said", "{said}", {"said": f"{value!r} needs {needed}", "hint": hint})
        return {"type": value}
    if not isinstance(value, Mapping) or "type" in value or len(value) != 1:
        return value
    [(name, parameter)] = value.items()
    fields = _entry("look", name, info).strategy.Params.model_fields
    if not fields:
        said = f"{name!r} takes no number"
        raise PydanticCustomError("said", "{said}", {"said": said, "hint": f"write {name} alone"})
    return {"type": name, next(iter(fields)): parameter}


def _article(noun: str) -> str:
    """Return a noun with its ``a`` or ``an``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _short_name(value: object) -> str:
    """Return a name to show in an example: the value itself if it is a word."""
    return value if isinstance(value, str) and value.isidentifier() else "..."


def _entry(kind: Kind, name: object, info: ValidationInfo) -> Entry:
    if not isinstance(name, str):
        raise _at("type", PydanticCustomError("wanted", "text", {"wanted": f"the name of {_article(kind)}"}), name)
    registry: Registry = (info.context or {})["registry"]
    try:
        return registry.get(kind, name)
    except UnknownStrategyError as error:
        found = PydanticCustomError("said", "{said}", {"said": error.message, "hint": error.hint})
        raise _at("type", found, name) from None


def _at(key: str, error: PydanticCustomError, value: object) -> ValidationError:
    return ValidationError.from_exception_data("Choice", [InitErrorDetails(type=error, loc=(key,), input=value)])


def _refuse_coercion(given: Mapping[str, Any], params: BaseModel) -> None:
    """Raise if pydantic has converted a value of another type to a number or a boolean."""
    details = [
        InitErrorDetails(type=PydanticCustomError("wanted", "{wanted}", {"wanted": wanted}), loc=loc, input=value)
        for loc, value, wanted in _coerced((), given, params)
    ]
    if details:
        raise ValidationError.from_exception_data("Choice", details)


def _coerced(loc: Loc, given: object, validated: object) -> Iterator[tuple[Loc, object, str]]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            child = validated.get(key) if isinstance(validated, Mapping) else getattr(validated, str(key), None)
            yield from _coerced((*loc, key), value, child)
    elif isinstance(given, list) and isinstance(validated, (list, tuple)):
        for index, (value, child) in enumerate(zip(given, validated, strict=False)):
            yield from _coerced((*loc, index), value, child)
    elif wanted := _mismatch(given, validated):
        yield loc, given, wanted


def _mismatch(given: object, validated: object) -> str:
    if isinstance(validated, bool):
        return "" if isinstance(given, bool) else "true or false"
    if isinstance(validated, int):
        return "" if isinstance(given, int) and not isinstance(given, bool) else "an integer"
    if isinstance(validated, float):
        return "" if isinstance(given, (int, float)) and not isinstance(given, bool) else "a number"
    return ""
