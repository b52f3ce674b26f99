"""The captions of images: those of a file, and a labeler for images without any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Discriminator, Field, Tag

from autolabel.spec.choice import Choice, LabelerChoice
from autolabel.spec.node import short
from autolabel.spec.section import Location, Name, Section
from autolabel.spec.stage import StageSpec
from autolabel.strategies import Labeler

_Describing = Annotated[
    Annotated[Name, Tag("named")] | Annotated[LabelerChoice, Tag("chosen")],
    Discriminator(lambda value: "named" if isinstance(value, str) else "chosen"),
]


class CaptionsSpec(Section):
    """A labeler that describes images, and the file of captions that are there already."""

    labeler: _Describing = Field(
        description="describes images: {type: caption, endpoint, model}, or the type of a labeler of the stages whose "
        "model is asked for captions too, such as vlm"
    )
    file: Location | None = Field(
        None, description="JSONL file as for data.captions; only images without a caption in it are described"
    )

    def choose(self, stages: Sequence[StageSpec]) -> Choice[Labeler] | None:
        """Return the labeler that is written out, or the only one of the stages that has the type that is named."""
        if not isinstance(self.labeler, str):
            return self.labeler
        named = self._named(stages)
        return named[0] if len(named) == 1 else None

    def fault(self, stages: Sequence[StageSpec]) -> str:
        """Return why nothing can describe images; empty if something can."""
        choice = self.choose(stages)
        if choice is None:
            count = len(self._named(stages))
            found = f"{count} labelers of the stages are" if count else "no stage has a labeler"
            return f"{found} of the type {short(str(self.labeler))}; write {{type: caption, endpoint, model}} out"
        return "" if choice.make().captioner() is not None else f"{choice.name!r} does not describe images"

    def _named(self, stages: Sequence[StageSpec]) -> list[Choice[Labeler]]:
        return [choice for stage in stages for choice in stage.choices if choice.name == self.labeler]


WrittenCaptions = Annotated[
    Annotated[Location, Tag("file")] | Annotated[CaptionsSpec, Tag("described")],
    Discriminator(lambda value: "described" if isinstance(value, dict | CaptionsSpec) else "file"),
]
