"""The ``data`` section: images, and what is asked of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import InitErrorDetails, PydanticCustomError

from autolabel.spec.node import short
from autolabel.spec.section import Location, Name, Names, Section, Texts, complaint, distinct
from autolabel.types.ontology import ClassPrompts

_SOURCES = ("classes", "captions", "boxes")
_MOST_NEGATIVES = 1_000_000
"""Negative phrases of all classes, counted class by class."""
_BESIDE = {"classes": "negatives"}


def _only(source: str) -> JsonDict:
    """Return a schema that allows one source alone, and ``negatives`` beside classes only."""
    absent: JsonDict = {
        key: {"type": "null"} for key in (*_SOURCES, "negatives") if key not in (source, _BESIDE.get(source))
    }
    return {"required": [source], "properties": {**absent, source: {"not": {"type": "null"}}}}


def _several(value: object) -> object:
    if not isinstance(value, (str, list, tuple)):
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": "a folder or a list of folders"})
    return [value] if isinstance(value, str) else value


_Folders = Annotated[
    tuple[Location, ...],
    Field(min_length=1),
    AfterValidator(distinct),
    BeforeValidator(_several, json_schema_input_type=Annotated[str, Field(min_length=1)] | Texts),
]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": "two numbers, the smaller one first"})
    return value


_ValueRange = Annotated[tuple[float, float], AfterValidator(_ordered)]


class ClassSpec(Section):
    """What is asked on behalf of a class."""

    phrases: Names | None = Field(None, description="phrases that the class is asked by; its name without them")
    negatives: Names | None = Field(
        None, description="phrases that are asked too: a box of the class that fits one better is dropped"
    )


def _spread(value: object) -> object:
    """A phrase, or a list of them, is short for the mapping."""
    if isinstance(value, str):
        return {"phrases": [value]}
    if not isinstance(value, (dict, list, tuple, ClassSpec)):
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": "a phrase, a list of phrases, or a mapping"})
    return {"phrases": value} if isinstance(value, (list, tuple)) else value


def _all_there(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """Refuse names that are one once the spaces around them are gone."""
    names = handler(value)
    if isinstance(value, dict) and len(names) < len(value):
        raise PydanticCustomError("said", "{said}", {"said": "two names differ only in the spaces around them"})
    return names


_MOST_LISTED = 30
_SEPARATED = re.compile(r"\s+\.(?:\s+|$)|[;|\n]+")
"""What stands between names that were meant as a list: `` . `` as in a detector's own captions, ``;``, ``|``, lines."""
_SENTENCE = re.compile(r"[^.]*\w\.(\s+[^.]*\w\.)+")


def _names_in(value: object) -> list[str]:
    """Return the names that one text lists, none where it is one name."""
    if not isinstance(value, str):
        return []
    text = value.strip()
    parts = re.split(r"\.\s*", text) if _SENTENCE.fullmatch(text) else _SEPARATED.split(text)
    return [part.strip() for part in parts if part.strip()] if len(parts) > 1 else []


def _several_in_one(name: str, meant: list[str], index: int = 0) -> ValidationError:
    """Return the complaint about a name that is a list, with the list that was meant."""
    listed = ", ".join(map(str, meant[:_MOST_LISTED])) + (", ..." if len(meant) > _MOST_LISTED else "")
    context = {"said": f"found one name that lists several: {short(name)}", "hint": f"write a list: [{listed}]"}
    detail = InitErrorDetails(type=PydanticCustomError("said", "{said}", context), loc=(index,), input=name)
    return ValidationError.from_exception_data("classes", [detail])


def _refuse_lists(names: list[Any]) -> None:
    """Raise where one of the names is a list in itself."""
    for index, name in enumerate(names):
        if _names_in(name):
            raise _several_in_one(name, [one for item in names for one in (_names_in(item) or [item])], index)
    only = names[0] if len(names) == 1 else None
    if isinstance(only, str) and only.count(",") > 1:
        raise _several_in_one(only, [part.strip() for part in only.split(",") if part.strip()])


def _listed(value: object) -> object:
    if isinstance(value, list):
        _refuse_lists(value)
    if not isinstance(value, (dict, list, tuple)):
        text = "a list of names, or a mapping of names to phrases"
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": text})
    return value


def _form(value: object) -> str:
    return "terms" if isinstance(value, dict) else "names"


_ClassTerms = Annotated[ClassSpec, BeforeValidator(_spread, json_schema_input_type=Name | Names | ClassSpec)]
_ByName = Annotated[
    dict[Name, _ClassTerms],
    Field(min_length=1, json_schema_extra={"additionalProperties": False}),
    WrapValidator(_all_there),
]
_Classes = Annotated[
    Annotated[Names, Tag("names")] | Annotated[_ByName, Tag("terms")], Discriminator(_form), BeforeValidator(_listed)
]


class DataSpec(Section):
    """What is labelled, and what is asked of it: exactly one of classes, captions, boxes."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only(source) for source in _SOURCES]})

    images: _Folders = Field(
        description="folder of images or its URL, or a list of them, searched with their subfolders"
    )
    classes: _Classes | None = Field(
        None, description="names that every image is asked for, or the phrases by which each name is asked"
    )
    negatives: Names | None = Field(
        None, description="phrases that are asked with the classes: a box that fits one better is dropped"
    )
    captions: Location | None = Field(
        None, description="JSONL file: an image a line, with file_name, caption, and the phrases in it as noun_chunks"
    )
    boxes: Location | None = Field(None, description="COCO file of given boxes; images holds its file names")
    follow_symlinks: StrictBool = Field(False, description="also follow links that leave the folder")
    pages: Literal["first", "all"] = Field(
        "first", description="of a TIFF with pages or an animation: label the first, or each as an image of its own"
    )
    value_range: _ValueRange | None = Field(
        None, description="values that become black and white in images of more than 8 bits; null: found for each image"
    )
    duplicates: Literal["ignore", "group"] = Field(
        "ignore",
        description="group: find images that show the same scene, and never part them in splits and samples",
    )
    rescale_boxes: StrictBool = Field(
        False, description="scale given boxes where their file states another size than the image has"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in _SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            text = f"found {' and '.join(given) or 'none of them'}, wanted exactly one of classes, captions, boxes"
            raise PydanticCustomError("said", "{said}", {"said": text})
        return self

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if details := list(_ambiguous(self)):
            raise ValidationError.from_exception_data("data", details)
        return self

    def ontology(self) -> dict[str, ClassPrompts]:
        """Return the phrases and negatives of each class; nothing where all are asked by their names alone."""
        written = self.classes if isinstance(self.classes, dict) else {name: ClassSpec() for name in self.classes or ()}
        terms = {
            name: ClassPrompts(
                phrases=one.phrases or (name,),
                negatives=tuple(dict.fromkeys([*(one.negatives or ()), *(self.negatives or ())])),
            )
            for name, one in written.items()
        }
        return terms if any(one != ClassPrompts(phrases=(name,)) for name, one in terms.items()) else {}


def _ambiguous(data: DataSpec) -> Iterator[InitErrorDetails]:
    """Yield what is wrong with phrases that would stand for two classes, or for a class and against it."""
    if data.negatives and data.classes is None:
        yield complaint(("negatives",), "goes with classes, and there are none", data.negatives)
    classes = data.classes if isinstance(data.classes, dict) else dict.fromkeys(data.classes or (), ClassSpec())
    total = sum(len(data.negatives or ()) + len(one.negatives or ()) for one in classes.values())
    if total > _MOST_NEGATIVES:
        message = (
            f"{len(classes):,} classes with their negatives are {total:,} pairs, wanted at most {_MOST_NEGATIVES:,}"
        )
        yield complaint(("negatives" if data.negatives else "classes",), message, "")
        return
    owners: dict[str, str] = {}
    for name, terms in data.ontology().items():
        against = set(terms.negatives)
        for phrase in terms.phrases:
            if (owner := owners.setdefault(phrase, name)) != name:
                yield complaint(("classes", name), f"{short(phrase)} stands for {short(owner)} already", phrase)
            if phrase in against:
                yield complaint(("classes", name), f"{short(phrase)} would stand for the class and against it", phrase)
