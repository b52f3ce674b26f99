"""A stage: its labelers, and how their boxes are combined."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StrictBool, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from autolabel.detectors import Tiles, Vote, composed, told_apart
from autolabel.spec.choice import AggregatorChoice, LabelerChoice, SchedulerChoice
from autolabel.spec.looks import LooksSpec, WrittenLooks
from autolabel.spec.section import Count, Ratio, Section, complaint
from autolabel.strategies import Labeler

_Overlap = Annotated[float, Field(strict=True, ge=0, lt=1)]


class CombineSpec(Section):
    """How the boxes of several labelers are combined, after the aggregator has merged them."""

    type: Literal["union", "vote"] = Field(
        "union", description="union: keep a box that any labeler has found; vote: one that enough of them have"
    )
    votes: Annotated[int, Field(strict=True, ge=2)] = Field(2, description="for vote: labelers that must support a box")
    iou: Ratio = Field(0.5, description="the least IoU at which a labeler's box of the same label supports another one")

    def vote(self) -> Vote:
        """Return the voting rule; a union is a vote that needs one labeler."""
        return Vote(iou=self.iou, votes=self.votes if self.type == "vote" else 1)


class TilesSpec(Section):
    """How large images are cut into tiles, so that small objects keep their full resolution."""

    size: Annotated[int, Field(strict=True, ge=32)] = Field(640, description="side of a tile in pixels")
    overlap: _Overlap = Field(0.2, description="the least overlap of neighbours, as a share of the side")
    whole: StrictBool = Field(True, description="also search the whole image, for objects larger than a tile")
    batch: Count = Field(4, description="tiles in one forward pass")

    def tiles(self) -> Tiles:
        """Return these settings for a detector."""
        return Tiles(size=self.size, overlap=self.overlap, whole=self.whole, batch=self.batch)


_ONE: list[JsonValue] = [
    {"required": [one], "properties": {one: {"not": {"type": "null"}}, other: {"type": "null"}}}
    for one, other in (("labeler", "labelers"), ("labelers", "labeler"))
]


class StageSpec(Section):
    """One labeler, or several detectors that are asked the same phrases, with their rounds."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _ONE})

    labeler: LabelerChoice | None = Field(None, description="the model that finds boxes, or turns boxes into masks")
    labelers: Annotated[tuple[LabelerChoice, ...], Field(min_length=2)] | None = Field(
        None, description="several detectors, instead of one labeler"
    )
    combine: CombineSpec = Field(
        default_factory=CombineSpec, description="how the boxes of several labelers are combined"
    )
    tiles: TilesSpec | None = Field(None, description="cut large images into tiles; by default they are searched whole")
    looks: WrittenLooks | None = Field(
        None,
        description="test-time augmentation: see each image in several looks and score boxes by their agreement",
    )
    scheduler: SchedulerChoice | None = Field(None, description="thresholds of the rounds; by default one round at 0.5")
    aggregator: AggregatorChoice | None = Field(
        None, description="merges the boxes of all rounds; by default nms at 0.7"
    )
    ask: Literal["missing", "all"] = Field(
        "missing", description="phrases that later rounds ask for: those without a box so far, or all"
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        given = [key for key in ("labeler", "labelers") if getattr(self, key) is not None]
        if len(given) != 1:
            text = f"found {' and '.join(given) or 'neither'}, wanted either labeler or labelers"
            raise PydanticCustomError("said", "{said}", {"said": text})
        if self.combine.type == "vote" and self.combine.votes > len(self.choices):
            text = f"votes is {self.combine.votes}, but the stage has {len(self.choices)} labelers"
            raise ValidationError.from_exception_data("stage", [complaint(("combine",), text, self.combine)])
        return self

    @property
    def choices(self) -> tuple[LabelerChoice, ...]:
        """The chosen labelers, one or several."""
        return self.labelers or ((self.labeler,) if self.labeler is not None else ())

    @property
    def views(self) -> LooksSpec | None:
        """The looks with all their settings; a list stands for ``spend: every`` and ``score: vote``."""
        return LooksSpec(which=self.looks) if isinstance(self.looks, tuple) else self.looks

    def make(self) -> Labeler:
        """Return the stage's labeler, built of all that are chosen; with several, tiles or looks it is a detector."""
        members = [choice.make() for choice in self.choices]
        which = self.views.which if self.views else ()
        looks = dict(
            zip(told_apart([choice.name for choice in which]), (choice.make() for choice in which), strict=True)
        )
        return composed(members, self.tiles.tiles() if self.tiles else None, looks=looks)
