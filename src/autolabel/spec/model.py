"""The native spec as a validated, frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import InitErrorDetails, PydanticCustomError

from autolabel.errors import Problem
from autolabel.paths import SpecPath
from autolabel.spec.choice import AggregatorChoice, ExporterChoice, LabelerChoice, SchedulerChoice
from autolabel.spec.node import Loc, Node, Place, problem

T = TypeVar("T")
_MOST = 200


class Section(BaseModel):
    """A mapping of a spec: its keys are known, its values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return the values; raise at each that was there before."""
    first: dict[T, int] = {}
    doubled = [(index, value) for index, value in enumerate(values) if first.setdefault(value, index) != index]
    details = [
        InitErrorDetails(
            type=PydanticCustomError("said", "{said}", {"said": f"is the same as entry {first[value]}"}),
            loc=(index,),
            input=value,
        )
        for index, value in doubled[:_MOST]
    ]
    if details:
        raise ValidationError.from_exception_data("distinct", details)
    return values


def _distinct_gpus(value: str | tuple[int, ...]) -> str | tuple[int, ...]:
    return value if isinstance(value, str) else _distinct(value)


def _several(value: object) -> object:
    if not isinstance(value, (str, list, tuple)):
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": "a folder or a list of folders"})
    return [value] if isinstance(value, str) else value


def _several_devices(value: object) -> object:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def _wanted(text: str) -> WrapValidator:
    """Replace whatever a union complains of by one sentence."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("wanted", "{wanted}", {"wanted": text}) from None

    return WrapValidator(check)


_UNIQUE: JsonDict = {"uniqueItems": True}
_ONE_SOURCE: JsonDict = {
    "oneOf": [
        {
            "required": [one],
            "properties": {
                key: {"not": {"type": "null"}} if key == one else {"type": "null"}
                for key in ("classes", "captions", "boxes")
            },
        }
        for one in ("classes", "captions", "boxes")
    ]
}

Whole = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Pixels = Annotated[float, Field(strict=True, ge=0)]
Location = Annotated[SpecPath, Field(min_length=1)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), Field(json_schema_extra={"pattern": r"\S"})
]
Names = Annotated[tuple[Name, ...], Field(min_length=1, json_schema_extra=_UNIQUE), AfterValidator(_distinct)]
Texts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, json_schema_extra=_UNIQUE)]
Folders = Annotated[
    tuple[Location, ...],
    Field(min_length=1),
    AfterValidator(_distinct),
    BeforeValidator(_several, json_schema_input_type=Annotated[str, Field(min_length=1)] | Texts),
]
Kind = Literal["auto", "cpu", "mps"]
Gpus = Annotated[tuple[Whole, ...], Field(min_length=1)]
Numbers = Annotated[list[Whole], Field(min_length=1, json_schema_extra=_UNIQUE)]
Devices = Annotated[
    Kind | Gpus,
    _wanted("'auto', 'cpu', 'mps' or GPU numbers such as [0, 1]"),
    AfterValidator(_distinct_gpus),
    BeforeValidator(_several_devices, json_schema_input_type=Kind | Whole | Numbers),
]
Failures = Annotated[Whole | Share, _wanted("a share between 0.0 and 1.0, or a whole number of images")]


class DataSpec(Section):
    """What is labelled, and what is asked of it: exactly one of classes, captions, boxes."""

    model_config = ConfigDict(json_schema_extra=_ONE_SOURCE)

    images: Folders = Field(description="folder of images, or a list of folders, searched with their subfolders")
    classes: Names | None = Field(None, description="names that every image is asked for")
    captions: Location | None = Field(
        None, description="JSONL file: file_name, caption and noun_chunks of an image a line"
    )
    boxes: Location | None = Field(None, description="COCO file of given boxes; images holds its file names")
    follow_symlinks: StrictBool = Field(False, description="also follow links that leave the folder")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in ("classes", "captions", "boxes") if getattr(self, key) is not None]
        if len(given) != 1:
            text = f"found {' and '.join(given) or 'none of them'}, wanted exactly one of classes, captions, boxes"
            raise PydanticCustomError("said", "{said}", {"said": text})
        return self


class StageSpec(Section):
    """One labeler, with the rounds in which a detector is asked."""

    labeler: LabelerChoice = Field(description="what finds boxes, or turns boxes into masks")
    scheduler: SchedulerChoice | None = Field(None, description="thresholds of the rounds; one round at 0.5 without it")
    aggregator: AggregatorChoice | None = Field(
        None, description="merges the boxes of all rounds; nms at 0.7 without it"
    )
    ask: Literal["missing", "all"] = Field(
        "missing", description="what later rounds ask: the phrases without a box so far, or all phrases"
    )


class RunSpec(Section):
    """How the work is cut up and carried out."""

    executor: Literal["auto", "inline", "processes"] = Field(
        "auto", description="where shards are labelled; auto: processes where there are several workers, else inline"
    )
    batch_size: Count = Field(4, description="images a forward pass takes together")
    num_workers: Count = Field(8, description="threads that decode images, for each worker")
    shard_size: Count = Field(64, description="images in a shard, the unit of work and of resume")
    threads: Count | None = Field(None, description="CPU threads of each worker; null: shared out evenly")
    workers_per_device: Count = Field(1, description="workers on each device")
    max_failures: Failures = Field(
        0.01, description="images that may fail: a share (a number with a point) or a count (a whole number)"
    )
    max_pixels: Count = Field(100_000_000, description="images with more pixels than this are not decoded")


class FilterSpec(Section):
    """Boxes that are left out of every export; sides in pixels, areas as a share of the image."""

    min_size: Pixels | None = Field(None, description="shortest side, in pixels")
    max_size: Pixels | None = Field(None, description="longest side, in pixels")
    min_area: Share | None = Field(None, description="smallest area, as a share of the image")
    max_area: Share | None = Field(None, description="largest area, as a share of the image")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (("min_size", "max_size"), ("min_area", "max_area")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                said = f"{low} {least:g} is more than {high} {most:g}"
                raise PydanticCustomError("said", "{said}", {"said": said})
        return self


class SplitSpec(Section):
    """Shares of the images that exports put into each subset; they add up to 1."""

    train: Share = Field(description="share of the images for training")
    val: Share = Field(0.0, description="share of the images for validation")
    test: Share = Field(0.0, description="share of the images for testing")
    seed: Whole = Field(0, description="seed of the draw")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            said = f"train, val and test add up to {total:g}, wanted 1"
            raise PydanticCustomError("said", "{said}", {"said": said})
        return self


class OutputSpec(Section):
    """What every export leaves out, and how it is split."""

    filter: FilterSpec | None = Field(None, description="boxes that are left out, by size")
    split: SplitSpec | None = Field(None, description="subsets: train, val, test")


class Spec(Section):
    """A whole spec; validated with the context ``{"root": folder of the spec, "registry": Registry}``."""

    version: Literal[1] = Field(description="1, the version of the spec's form")
    data: DataSpec = Field(description="images, and what is asked of them")
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)] = Field(description="labelers, one after the other")
    devices: Devices = Field("auto", description="GPU numbers, or auto: the GPUs there are, else the CPU; or cpu, mps")
    run: RunSpec = Field(default_factory=RunSpec, description="how the work is carried out")
    export: tuple[ExporterChoice, ...] = Field(
        ({"type": "coco"}, {"type": "odvg"}), validate_default=True, description="files that are written at the end"
    )
    output: OutputSpec = Field(default_factory=OutputSpec, description="what exports leave out, and how they are split")
    report: StrictBool = Field(False, description="write an HTML report")
    visualize: StrictBool = Field(False, description="draw the boxes into copies of the images")
    commercial: StrictBool = Field(
        False, description="refuse weights whose licence forbids commercial use, or is not known"
    )
    results_dir: Location = Field(description="folder that the results are written to")

    _source: Node = PrivateAttr(default_factory=lambda: Node({}, Place("<spec>")))
    _notices: tuple[str, ...] = PrivateAttr(())

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should be told once: keys that were accepted and have no effect."""
        return self._notices

    def problem(self, loc: Loc, message: str, *, hint: str = "") -> Problem:
        """Return a problem with the value at ``loc``, such as ``("stages", 0, "labeler")``.

        It has the place and the name under which the user wrote that value, or else the nearest one around it.
        """
        return problem(self._source, loc, message, hint=hint)


def validated(source: Node, context: Mapping[str, Any], *, notices: tuple[str, ...] = ()) -> Spec:
    """Return the spec that ``source`` holds; raises pydantic's ValidationError."""
    spec = Spec.model_validate(source.plain(), context=dict(context))
    spec._source = source
    spec._notices = notices
    return spec
