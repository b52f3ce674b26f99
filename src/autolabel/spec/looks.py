"""The ``looks`` of a stage: in which ways an image is seen, and what that costs and is worth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationError
from pydantic_core import PydanticCustomError

from autolabel.detectors import Agreement, Doubt
from autolabel.spec.choice import LookChoice
from autolabel.spec.section import Ratio, Section, complaint

_Share = Annotated[float, Field(strict=True, ge=0, le=1)]


def _different(looks: tuple[LookChoice, ...]) -> tuple[LookChoice, ...]:
    """Refuse a look that is listed twice."""
    written = [look.dump() for look in looks]
    details = [
        complaint((index,), f"is the same as entry {written.index(one)}", one)
        for index, one in enumerate(written)
        if written.index(one) != index
    ]
    if details:
        raise ValidationError.from_exception_data("looks", details)
    return looks


_Which = Annotated[tuple[LookChoice, ...], Field(min_length=1), AfterValidator(_different)]


class DoubtSpec(Section):
    """When an image is worth another look, where looks are spent by round."""

    score: _Share = Field(
        0.1,
        description="a box that scores more is in doubt while not all looks have seen it",
    )
    sure: _Share = Field(
        0.5, description="after one look, which has no other to agree with, a box that scores more is in no doubt"
    )
    boxes: Annotated[int, Field(strict=True, ge=0)] = Field(
        5, description="an image with no more boxes in doubt than these is asked about in no further look"
    )

    def doubt(self) -> Doubt:
        """Return the same for the rounds."""
        return Doubt(score=self.score, sure=self.sure, boxes=self.boxes)


class LooksSpec(Section):
    """In which ways an image is seen, in how many of them, and what that makes of a score."""

    which: _Which = Field(description="the looks, in the order in which they are spent")
    spend: Literal["every", "by_round"] = Field(
        "every",
        description="every: each round sees all looks; "
        "by_round: round k adds look k, in images in which something is still in doubt",
    )
    score: Literal["vote", "mean", "noisy_or"] = Field(
        "vote",
        description="vote: the highest score times the share of looks that saw a box; mean: of all looks, 0 where one "
        "saw nothing; noisy_or: 1 - (product of 1 - score) to the power of 1/looks",
    )
    iou: Ratio = Field(0.5, description="overlap from which a candidate of the same label supports a box")
    doubt: DoubtSpec = Field(default_factory=DoubtSpec, description="when an image is worth another look: for by_round")

    def agreement(self, labelers: int) -> Agreement:
        """Return what weighs the boxes of so many labelers."""
        return Agreement(score=self.score, iou=self.iou, labelers=labelers)


def _form(value: object) -> str:
    return "list" if isinstance(value, (list, tuple)) else "mapping"


def _known(value: object) -> object:
    if not isinstance(value, (dict, list, tuple, LooksSpec)):
        wanted = "a list of looks such as [plain, mirror], or a mapping"
        raise PydanticCustomError("wanted", "{wanted}", {"wanted": wanted})
    return value


WrittenLooks = Annotated[
    Annotated[_Which, Tag("list")] | Annotated[LooksSpec, Tag("mapping")],
    Discriminator(_form),
    BeforeValidator(_known),
]
