"""The labeler ``caption``: captions written by a vision-language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field

from autolabel.endpoint import Question, Reply
from autolabel.errors import ImageError
from autolabel.literal import one_line
from autolabel.strategies import Captioner, Finding, Requests
from autolabel.types import Sample, Size
from autolabel_vlm import resize
from autolabel_vlm.answer import after_thought
from autolabel_vlm.asking import AsksEndpoint, unless_refused
from autolabel_vlm.params import PictureParams

_DEFAULT = (
    "Describe this image in one to three plain sentences. Name every kind of object that can be seen, with the colour "
    "or the place that tells it from others. Say nothing that cannot be seen, and answer with the sentences alone."
)
_EXPECTED = 80
"""Tokens that a caption is expected to take, for the forecast of a plan."""
_FENCE = re.compile(r"^```\w*\n|\n?```$")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


class CaptionParams(PictureParams):
    """The server, and how captions are requested."""

    prompt: Annotated[str, Field(min_length=1)] = _DEFAULT
    """The question."""
    max_tokens: Annotated[int, Field(ge=1)] = 300
    """Maximum number of tokens of a caption; a truncated caption ends with its last complete sentence."""


class VlmCaptioner(AsksEndpoint, Captioner):
    """Asks a vision-language model for a caption of each image."""

    name = "caption"
    incidental = CaptionParams.INCIDENTAL
    params: CaptionParams

    class Params(CaptionParams):
        """The server, and how captions are requested."""

    @classmethod
    def of(cls, params: PictureParams) -> Self:
        """Return a captioner with the model and settings of another labeler."""
        shared = {name: getattr(params, name) for name in PictureParams.model_fields if name != "max_tokens"}
        return cls(cls.Params(**shared))

    def requests(self, size: Size) -> Requests:
        """Return the endpoint requests for the caption of an image of ``size``."""
        tokens = self.params.picture_tokens(size) + len(self.params.prompt) // 4 + _EXPECTED
        return Requests(requests=1, images=1, tokens=tokens)

    def examine(self) -> Sequence[Finding]:
        """Request the caption of an image of a red square."""
        from autolabel_vlm.doctor import examine_captioner

        return examine_captioner(self)

    def describe(self, batch: Sequence[Sample]) -> Sequence[str | ImageError]:
        """Return a caption for each sample; all requests are sent at once."""
        assert self.endpoint is not None, "load comes first"
        asked: list[Question | ImageError] = []
        for sample in batch:
            try:
                asked.append(self.question(sample))
            except ImageError as error:
                asked.append(error)
        replies = iter(self.endpoint.ask([one for one in asked if isinstance(one, Question)]))
        return [one if isinstance(one, ImageError) else said_in(next(replies)) for one in asked]

    def question(self, sample: Sample) -> Question:
        """Return the question about an image; raises ImageError if it cannot be sent."""
        params = self.params
        shape = params.resize.shape(sample.image.size)
        picture = resize.picture(sample.pixels, shape, kind=params.image_format, quality=params.quality)
        return Question.of(
            params.prompt,
            picture,
            max_tokens=params.max_tokens,
            temperature=params.temperature,
            seed=params.seed,
            request=params.request,
        )


def said_in(reply: Reply | ImageError) -> str | ImageError:
    """Return the caption in a reply, on one line; an error if there is none."""
    reply = unless_refused(reply)
    if isinstance(reply, ImageError):
        return reply
    text = _FENCE.sub("", after_thought(reply.text).strip()).strip().strip('"')
    if reply.cut and (ends := list(_SENTENCE_END.finditer(text))):
        text = text[: ends[-1].end()]
    return one_line(text) or ImageError("unreadable_answer", "the answer holds no caption")
