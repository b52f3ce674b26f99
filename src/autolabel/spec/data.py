"""The ``data`` section: the images, and the classes, captions or boxes to label them with."""

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

from autolabel.spec.captions import CaptionsSpec, WrittenCaptions
from autolabel.spec.node import short
from autolabel.spec.section import Location, Name, Names, Section, Texts, complaint, distinct
from autolabel.types.ontology import ClassPrompts

_SOURCES = ("classes", "captions", "boxes")
_MOST_NEGATIVES = 1_000_000
"""The most pairs of a class and a negative phrase."""
_BESIDE = {"classes": "negatives"}


def _only(source: str) -> JsonDict:
    """Return a schema that allows exactly one source, and ``negatives`` only beside ``classes``."""
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
    """The phrases by which a class is found."""

    phrases: Names | None = Field(None, description="phrases to search for; by default the name of the class")
    negatives: Names | None = Field(
        None, description="negative phrases: a box that fits one of them better than the class is dropped"
    )


def _spread(value: object) -> object:
    """Expand a phrase, or a list of phrases, to the mapping that it is short for."""
    if isinstance(value, str):
        return {"phrases": [value]}
    if not isinstance(value, (dict, list, tuple, ClassSpec)):
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": "a phrase, a list of phrases, or a mapping"})
    return {"phrases": value} if isinstance(value, (list, tuple)) else value


def _all_there(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """Refuse names that differ only in the spaces around them."""
    names = handler(value)
    if isinstance(value, dict) and len(names) < len(value):
        raise PydanticCustomError("said", "{said}", {"said": "two names differ only in the spaces around them"})
    return names


_MOST_LISTED = 30
_SEPARATED = re.compile(r"\s+\.(?:\s+|$)|[;|\n]+")
"""Separators of names that were meant as a list: `` . `` as in a detector's own captions, ``;``, ``|``, line ends."""
_SENTENCE = re.compile(r"[^.]*\w\.(\s+[^.]*\w\.)+")


def _names_in(value: object) -> list[str]:
    """Return the names that a text lists; an empty list if it is a single name."""
    if not isinstance(value, str):
        return []
    text = value.strip()
    parts = re.split(r"\.\s*", text) if _SENTENCE.fullmatch(text) else _SEPARATED.split(text)
    return [part.strip() for part in parts if part.strip()] if len(parts) > 1 else []


def _several_in_one(name: str, meant: list[str], index: int = 0) -> ValidationError:
    """Return the error for a name that lists several, with the list that was meant as a hint."""
    listed = ", ".join(map(str, meant[:_MOST_LISTED])) + (", ..." if len(meant) > _MOST_LISTED else "")
    context = {"said": f"found one name that lists several: {short(name)}", "hint": f"write a list: [{listed}]"}
    detail = InitErrorDetails(type=PydanticCustomError("said", "{said}", context), loc=(index,), input=name)
    return ValidationError.from_exception_data("classes", [detail])


def _refuse_lists(names: list[Any]) -> None:
    """Raise if one of the names lists several."""
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
    """The images, and exactly one of classes, captions and boxes to label them with."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only(source) for source in _SOURCES]})

    images: _Folders = Field(description="folder of images, its URL, or a list of either; subfolders are searched too")
    classes: _Classes | None = Field(
        None, description="classes to find in every image: their names, or each name with its phrases"
    )
    negatives: Names | None = Field(
        None, description="negative phrases of all classes: a box that fits one of them better is dropped"
    )
    captions: WrittenCaptions | None = Field(
        None,
        description="JSONL file, one image a line: file_name, caption, and noun_chunks (its phrases); or a mapping "
        "with a labeler that describes images without a caption",
    )
    boxes: Location | None = Field(
        None, description="COCO file of boxes, with file names relative to images; or a folder of KITTI label files"
    )
    follow_symlinks: StrictBool = Field(False, description="also follow links that leave the folder")
    pages: Literal["first", "all"] = Field(
        "first", description="of a TIFF with pages or an animation: label the first, or each as an image of its own"
    )
    value_range: _ValueRange | None = Field(
        None,
        description="values that become black and white in images of more than 8 bits; null: found for each image",
    )
    duplicates: Literal["ignore", "group"] = Field(
        "ignore",
        description="group: find images of the same scene, and keep them together in splits and samples",
    )
    rescale_boxes: StrictBool = Field(
        False, description="scale the boxes if their file states another image size than the image has"
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

    @property
    def described(self) -> CaptionsSpec | None:
        """What describes images without a caption; None if nothing does."""
        return self.captions if isinstance(self.captions, CaptionsSpec) else None

    @property
    def captions_file(self) -> str | None:
        """The file of captions that are there already; None if there is none."""
        return self.captions.file if isinstance(self.captions, CaptionsSpec) else self.captions

    def ontology(self) -> dict[str, ClassPrompts]:
        """Return the phrases and negative phrases of each class; empty if every class is searched for by its name."""
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
    """Yield an error for each phrase that belongs to two classes, or is both positive and negative for one."""
    if data.negatives and data.classes is None:
        yield complaint(("negatives",), "needs classes, and the spec has none", data.negatives)
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
                yield complaint(("classes", name), f"{short(phrase)} is already a phrase of {short(owner)}", phrase)
            if phrase in against:
                yield complaint(("classes", name), f"{short(phrase)} is a phrase and a negative of the class", phrase)
