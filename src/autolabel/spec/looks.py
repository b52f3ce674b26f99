"""The ``looks`` of a stage (test-time augmentation): which looks, how many, and how they change a score."""

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
    """When an image gets another look, for ``spend: by_round``."""

    score: _Share = Field(
        0.1,
        description="a box that scores more is in doubt until all looks have seen it",
    )
    sure: _Share = Field(0.5, description="after the first look, a box that scores more is not in doubt")
    boxes: Annotated[int, Field(strict=True, ge=0)] = Field(
        5, description="an image with at most so many boxes in doubt gets no further look"
    )

    def doubt(self) -> Doubt:
        """Return these settings for the rounds."""
        return Doubt(score=self.score, sure=self.sure, boxes=self.boxes)


class LooksSpec(Section):
    """Which looks are taken, when, and how the score of a box follows from them."""

    which: _Which = Field(description="the looks, in order")
    spend: Literal["every", "by_round"] = Field(
        "every",
        description="every: each round takes all looks; "
        "by_round: round k adds look k, for images that still have boxes in doubt",
    )
    score: Literal["vote", "mean", "noisy_or"] = Field(
        "vote",
        description="vote: the highest score times the share of looks that saw the box; mean: the mean over all looks, "
        "0 for a look that did not see it; noisy_or: 1 - (product of 1 - score) to the power of 1/looks",
    )
    iou: Ratio = Field(0.5, description="the least IoU at which a candidate of the same label supports a box")
    doubt: DoubtSpec = Field(default_factory=DoubtSpec, description="when an image gets another look, for by_round")

    def agreement(self, labelers: int) -> Agreement:
        """Return the rule that scores the boxes of ``labelers`` labelers."""
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
