"""pydantic models with field descriptions from the docstrings below their fields, read on demand."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class ExplainedModel(BaseModel):
    """A model whose JSON Schema uses the docstring below each field as its description.

    pydantic's ``use_attribute_docstrings`` does the same, but parses the source of every class on import, which takes a
    third of the time of ``autolabel validate``.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """Return pydantic's schema with descriptions."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in meanings(cls).items():
            place = properties.get(cls.model_fields[name].alias or name)
            if place is not None and text:
                place.setdefault("description", text)
        return schema


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each field of a model: set explicitly, or the docstring below it; else empty."""
    below: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel) and parent is not BaseModel:
            below |= _texts_below(parent)
    return {name: field.description or below.get(name, "") for name, field in model.model_fields.items()}


@lru_cache(None)
def _texts_below(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings below the fields of a class; empty if the source is not available."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError, SyntaxError):
        return {}
    return dict(_explained(tree.body[0])) if tree.body else {}


def _explained(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the fields of a class that have a docstring, with it."""
    for field, text in pairwise(getattr(node, "body", ())):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            value = getattr(text.value, "value", None)
            if isinstance(value, str):
                yield field.target.id, inspect.cleandoc(value)
