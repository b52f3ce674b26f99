"""The native spec as a validated, frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    StrictBool,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from autolabel.errors import Problem
from autolabel.spec.choice import ExporterChoice
from autolabel.spec.data import DataSpec
from autolabel.spec.node import Loc, Node, Place, problem
from autolabel.spec.section import UNIQUE, Count, Location, Name, Section, complaint, distinct, one_complaint
from autolabel.spec.stage import StageSpec
from autolabel.strategies import Captioner


def _distinct_gpus(value: str | tuple[int, ...]) -> str | tuple[int, ...]:
    return value if isinstance(value, str) else distinct(value)


def _several_devices(value: object) -> object:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


_Whole = Annotated[int, Field(strict=True, ge=0)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_Pixels = Annotated[float, Field(strict=True, ge=0)]
_Amount = Annotated[float, Field(strict=True, ge=0)]
_Address = Annotated[str, Field(pattern=r"^(auto|local|[^/:\s]+:\d+)$"), one_complaint("auto, local or host:port")]
_Kind = Literal["auto", "cpu", "mps"]
_Gpus = Annotated[tuple[_Whole, ...], Field(min_length=1)]
_Numbers = Annotated[list[_Whole], Field(min_length=1, json_schema_extra=UNIQUE)]
_Devices = Annotated[
    _Kind | _Gpus,
    one_complaint("'auto', 'cpu', 'mps' or GPU numbers such as [0, 1]"),
    AfterValidator(_distinct_gpus),
    BeforeValidator(_several_devices, json_schema_input_type=_Kind | _Whole | _Numbers),
]
_Thresholds = Annotated[
    Annotated[dict[Name, Share], Tag("scores")] | Annotated[Location, Tag("file")],
    Discriminator(lambda value: "file" if isinstance(value, str) else "scores"),
]
_Failures = Annotated[_Whole | Share, one_complaint("a share between 0.0 and 1.0, or a whole number of images")]


class RaySpec(Section):
    """Settings for a Ray cluster, used if run.executor is ray."""

    address: _Address = Field(
        "auto", description="host:port of the cluster's head; auto: the cluster of this machine; local: a new one here"
    )
    workers: Count | None = Field(
        None,
        description="workers; null: as many as fit, more as machines join (with GPU numbers: one each)",
    )
    num_cpus: _Amount | None = Field(None, description="CPUs of each worker; null: run.threads, or 1 without it")
    num_gpus: _Amount | None = Field(
        None, description="GPUs of each worker, such as 0.5; null: follows devices and workers_per_device"
    )


class BudgetSpec(Section):
    """The most that a run may ask of endpoints; the run stops there, and resumes once the budget is raised."""

    requests: Count | None = Field(None, description="answered requests")
    tokens: Count | None = Field(None, description="tokens of requests and answers together, as the servers count them")


class RunSpec(Section):
    """How the work is divided and executed."""

    executor: Literal["auto", "inline", "processes", "ray"] = Field(
        "auto", description="where shards are labelled; auto: processes for several workers, else inline"
    )
    batch_size: Count = Field(4, description="images in one forward pass")
    num_workers: Count = Field(8, description="threads of each worker that decode images")
    shard_size: Count = Field(64, description="images in a shard, the unit of work and of resume")
    threads: Count | None = Field(None, description="CPU threads of each worker; null: the cores are divided evenly")
    workers_per_device: Count | None = Field(
        None,
        description="workers on each device; null: 1 on a GPU, on a CPU as many as cores, memory and images allow",
    )
    max_failures: _Failures = Field(
        0.01, description="images that may fail: a share (a number with a point) or a count (a whole number)"
    )
    max_pixels: Count = Field(100_000_000, description="images with more pixels than this are not decoded")
    ray: RaySpec = Field(default_factory=RaySpec, description="settings for a Ray cluster")
    candidates: Location | None = Field(
        None, description="folder in which candidates are cached for this and other runs; null: no cache"
    )
    answers: Location | None = Field(
        None,
        description="folder in which the answers of endpoints are kept for this and other runs; "
        "null: the folder answers in results_dir",
    )
    budget: BudgetSpec | None = Field(None, description="limits on what is asked of endpoints; null: no limit")


class FilterSpec(Section):
    """Which boxes are left out of every export; sides are in pixels, areas are shares of the image."""

    min_size: _Pixels | None = Field(None, description="shortest side, in pixels")
    max_size: _Pixels | None = Field(None, description="longest side, in pixels")
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
    seed: _Whole = Field(0, description="seed of the draw")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            said = f"train, val and test add up to {total:g}, wanted 1"
            raise PydanticCustomError("said", "{said}", {"said": said})
        return self


class OutputSpec(Section):
    """Which boxes exports leave out, and how images are split."""

    thresholds: _Thresholds | None = Field(
        None, description="the least score of each class, or a file that `autolabel calibrate` wrote"
    )
    scores: Literal["raw", "calibrated"] = Field(
        "raw",
        description="calibrated: the probability of being right, learnt by `autolabel calibrate --scores`; "
        "raw: the labeler's score",
    )
    filter: FilterSpec | None = Field(None, description="boxes that are left out, by size")
    split: SplitSpec | None = Field(None, description="subsets: train, val, test")


class Spec(Section):
    """A whole spec; validated with the context ``{"root": folder of the spec, "registry": Registry}``."""

    version: Literal[1] = Field(description="1, the version of the spec format")
    data: DataSpec = Field(description="the images, and what to find in them")
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)] = Field(description="labelers, applied in order")
    devices: _Devices = Field("auto", description="GPU numbers; auto: all GPUs, or the CPU without one; cpu; mps")
    run: RunSpec = Field(default_factory=RunSpec, description="how the work is executed")
    export: tuple[ExporterChoice, ...] = Field(
        ({"type": "coco"}, {"type": "odvg"}), validate_default=True, description="exports to write at the end"
    )
    output: OutputSpec = Field(
        default_factory=OutputSpec, description="which boxes exports leave out, and how images are split"
    )
    report: StrictBool = Field(False, description="write an HTML report")
    visualize: StrictBool = Field(False, description="write copies of the images with the boxes drawn in")
    commercial: StrictBool = Field(
        False, description="refuse weights whose licence forbids commercial use or is unknown"
    )
    local_only: StrictBool = Field(False, description="refuse labelers that send images to another machine")
    results_dir: Location = Field(description="folder, or URL of one, that the results are written to")

    _source: Node = PrivateAttr(default_factory=lambda: Node({}, Place("<spec>")))
    _notices: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _describes(self) -> Self:
        described = self.data.described
        if described is not None and (fault := described.fault(self.stages)):
            details = complaint(("data", "captions", "labeler"), fault, described.labeler)
            raise ValidationError.from_exception_data("spec", [details])
        return self

    def captioner(self) -> Captioner | None:
        """Return what describes images without a caption, loading nothing; None if nothing does."""
        choice = self.data.described and self.data.described.choose(self.stages)
        return choice.make().captioner() if choice else None

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices for the user: keys that were accepted and have no effect."""
        return self._notices

    def problem(self, loc: Loc, message: str, *, hint: str = "") -> Problem:
        """Return a problem with the value at ``loc``, such as ``("stages", 0, "labeler")``.

        The problem carries the position and the name that the user wrote, or those of the nearest enclosing value.
        """
        return problem(self._source, loc, message, hint=hint)


def validated(source: Node, context: Mapping[str, Any], *, notices: tuple[str, ...] = ()) -> Spec:
    """Return the spec that ``source`` holds; raises pydantic's ValidationError."""
    spec = Spec.model_validate(source.plain(), context=dict(context))
    spec._source = source
    spec._notices = notices
    return spec
