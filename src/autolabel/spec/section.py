"""The base class of a spec's mappings, and the types of value that several share."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.config import JsonDict
from pydantic_core import InitErrorDetails, PydanticCustomError

from autolabel.paths import SpecPath
from autolabel.spec.node import Loc

_T = TypeVar("_T")
_MOST = 200


class Section(BaseModel):
    """A mapping of a spec: unknown keys are refused, and values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def distinct(values: tuple[_T, ...]) -> tuple[_T, ...]:
    """Return the values; raise for each that repeats an earlier one."""
    first: dict[_T, int] = {}
    doubled = [(index, value) for index, value in enumerate(values) if first.setdefault(value, index) != index]
    details = [complaint((index,), f"is the same as entry {first[value]}", value) for index, value in doubled[:_MOST]]
    if details:
        raise ValidationError.from_exception_data("distinct", details)
    return values


def one_complaint(text: str) -> WrapValidator:
    """Replace all errors of a union by one sentence."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("wanted", "{wanted}", {"wanted": text}) from None

    return WrapValidator(check)


def complaint(loc: Loc, text: str, value: object) -> InitErrorDetails:
    """Return the error ``text`` about the value at ``loc``."""
    return InitErrorDetails(type=PydanticCustomError("said", "{said}", {"said": text}), loc=loc, input=value)


Count = Annotated[int, Field(strict=True, ge=1)]
Ratio = Annotated[float, Field(strict=True, gt=0, le=1)]
UNIQUE: JsonDict = {"uniqueItems": True}
Location = Annotated[SpecPath, Field(min_length=1)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), Field(json_schema_extra={"pattern": r"\S"})
]
Names = Annotated[tuple[Name, ...], Field(min_length=1, json_schema_extra=UNIQUE), AfterValidator(distinct)]
Texts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, json_schema_extra=UNIQUE)]
