"""Models whose fields are explained by the texts that stand below them, which are read only where somebody asks."""

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
    """A model whose JSON Schema has the text below each field as its description.

    pydantic's ``use_attribute_docstrings`` does the same, but parses the source of every class when it is imported: a
    third of what ``autolabel validate`` takes.
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
    """Return what each field of a model means: its description, or the text below it in the source; empty without."""
    below: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel) and parent is not BaseModel:
            below |= _texts_below(parent)
    return {name: field.description or below.get(name, "") for name, field in model.model_fields.items()}


@lru_cache(None)
def _texts_below(model: type[BaseModel]) -> dict[str, str]:
    """Return the texts below the fields of a class in its source; none where that cannot be had."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError, SyntaxError):
        return {}
    return dict(_explained(tree.body[0])) if tree.body else {}


def _explained(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the fields of a class that have a text below them, with it."""
    for field, text in pairwise(getattr(node, "body", ())):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            value = getattr(text.value, "value", None)
            if isinstance(value, str):
                yield field.target.id, inspect.cleandoc(value)
