"""The labeler ``refer``: a vision-language model writes an expression for each box that fits no other box."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from autolabel.endpoint import Message, Question
from autolabel.errors import ImageError
from autolabel.literal import one_line
from autolabel.strategies import Finding, Referrer, Requests
from autolabel.types import Sample, Size
from autolabel_vlm import coordinates, prompt, resize
from autolabel_vlm.answer import FLAT, MOST, after_thought, python_mapping
from autolabel_vlm.asking import AsksEndpoint, unless_refused
from autolabel_vlm.coordinates import Axes, Coordinates
from autolabel_vlm.params import PictureParams, naming

_DEFAULT = (
    "These objects are in the image, each with its number and its box: {objects}. {coordinates} "
    "Write a referring expression for each: one short phrase that fits this object and no other in the image. Begin "
    "with its colour, if it can be seen, and what it is; add what tells it apart, such as its place, what is beside "
    "it, or what it does. Say only what can be seen. Answer with a JSON array and nothing else, one entry for each "
    'object: {"id": its number, "expression": the phrase}.'
)
_WORDS = ("expression", "description", "phrase", "text")
_EXPECTED = 25
"""Tokens that an expression is expected to take, for the forecast of a plan."""
_LONGEST = 300
"""Characters of an expression that are kept."""
_REPEATED = 2_000
"""Characters of an answer that cannot be read, shown to the model again."""


@dataclass(slots=True)
class _Referral:
    """A question about some boxes of one image."""

    place: int
    """The image's place in the batch."""
    boxes: Sequence[int]
    answer: str = ""
    """The answer, or the one before, of which nothing could be read."""

    def rest(self, told: Sequence[str | None]) -> _Referral:
        """Return the question about the boxes that have no expression yet."""
        boxes = [box for box in self.boxes if told[box] is None]
        return _Referral(self.place, boxes, self.answer if len(boxes) == len(self.boxes) else "")

    def repeated(self, question: Question) -> Question:
        """Return a question with the answer that could not be read before it, if there is one."""
        if not self.answer:
            return question
        more = (Message("assistant", (self.answer[:_REPEATED],)), Message("user", (prompt.AGAIN,)))
        return replace(question, messages=(*question.messages, *more))


class ReferParams(PictureParams):
    """The server, and how boxes are sent to it."""

    prompt: Annotated[str, naming("{objects}", "has no place for the objects: {objects}")] = _DEFAULT
    """The question; ``{objects}``, ``{coordinates}``, ``{width}`` and ``{height}`` are filled in."""
    coordinates: Coordinates = "unit_1000"
    """The coordinates in which boxes are sent."""
    axes: Axes = "xyxy"
    """Which number comes first."""
    boxes_per_request: Annotated[int, Field(ge=1)] = 40
    """Maximum number of boxes in one question; more boxes are split into several."""


class VlmReferrer(AsksEndpoint, Referrer):
    """Sends all boxes of an image to a model, and requests an expression for each that fits no other box."""

    name = "refer"
    incidental = ReferParams.INCIDENTAL
    params: ReferParams

    class Params(ReferParams):
        """The server, and how boxes are sent to it."""

    def requests(self, size: Size, boxes: int) -> Requests:
        """Return the endpoint requests for an image of ``size`` with so many boxes."""
        parts, picture = -(-boxes // self.params.boxes_per_request), self.params.picture_tokens(size)
        words = parts * len(self.params.prompt) // 4 + boxes * (_EXPECTED + 15)
        return Requests(requests=parts, images=parts, tokens=parts * picture + words)

    def examine(self) -> Sequence[Finding]:
        """Ask for the expressions of two squares of different colours."""
        from autolabel_vlm.doctor import examine_referrer

        return examine_referrer(self)

    def refer(self, batch: Sequence[Sample]) -> Sequence[Sequence[str | None] | ImageError]:
        """Return an expression for each box of each sample; boxes without an answer are asked about once more."""
        found: list[list[str | None]] = [[None] * len(sample.instances) for sample in batch]
        errors: dict[int, ImageError] = {}
        asked = [
            _Referral(place, boxes)
            for place, one in enumerate(batch)
            for boxes in self.dealt(range(len(one.instances)))
        ]
        self.ask(batch, asked, found, errors)
        again = [one.rest(found[one.place]) for one in asked if one.place not in errors]
        self.ask(batch, [one for one in again if one.boxes], found, errors)
        return [errors[place] if place in errors and not any(told) else told for place, told in enumerate(found)]

    def dealt(self, boxes: Sequence[int]) -> list[Sequence[int]]:
        """Split boxes into questions."""
        step = self.params.boxes_per_request
        return [boxes[start : start + step] for start in range(0, len(boxes), step)]

    def ask(
        self,
        batch: Sequence[Sample],
        asked: Sequence[_Referral],
        found: list[list[str | None]],
        errors: dict[int, ImageError],
    ) -> None:
        """Send the questions about some boxes of some samples, and add the answers to ``found`` or ``errors``."""
        assert self.endpoint is not None, "load comes first"
        questions: list[Question] = []
        sent: list[_Referral] = []
        for one in asked:
            try:
                question = self.question(batch[one.place], one.boxes)
            except ImageError as error:
                errors[one.place] = error
                continue
            questions.append(one.repeated(question))
            sent.append(one)
        for one, reply in zip(sent, map(unless_refused, self.endpoint.ask(questions)), strict=True):
            if isinstance(reply, ImageError):
                errors[one.place] = reply
            else:
                one.answer = reply.text
                for number, words in expressions_in(reply.text).items():
                    if 1 <= number <= len(one.boxes):
                        found[one.place][one.boxes[number - 1]] = words

    def question(self, sample: Sample, boxes: Sequence[int]) -> Question:
        """Return the question about some boxes, numbered from 1; raises ImageError if the image cannot be shown."""
        params, instances = self.params, sample.instances
        sent = params.resize.shape(sample.image.size)
        picture = resize.picture(sample.pixels, sent, kind=params.image_format, quality=params.quality)
        corners = coordinates.written(
            instances.boxes[list(boxes)], params.coordinates, params.axes, sent=sent, size=sample.image.size
        )
        listed = [
            f"{number}. {json.dumps(sample.prompt.phrases[int(instances.labels[box])], ensure_ascii=False)} "
            f"[{', '.join(f'{edge:g}' for edge in corner)}]"
            for number, (box, corner) in enumerate(zip(boxes, corners, strict=True), 1)
        ]
        values = {
            "objects": "; ".join(listed),
            "coordinates": coordinates.described(params.coordinates, sent=sent),
            "width": str(sent[1]),
            "height": str(sent[0]),
        }
        return Question.of(
            prompt.filled(params.prompt, values),
            picture,
            max_tokens=params.max_tokens,
            temperature=params.temperature,
            seed=params.seed,
            request=params.request,
        )


def expressions_in(text: str) -> dict[int, str]:
    """Return the expressions of an answer by the numbers of their objects; unreadable ones are left out."""
    out: dict[int, str] = {}
    for match in FLAT.finditer(after_thought(text)[:MOST]):
        value = _mapping(match[0])
        number = value.get("id", value.get("number"))
        number = int(number) if isinstance(number, str) and re.fullmatch(r"[0-9]{1,6}", number) else number
        words = next((value[name] for name in _WORDS if isinstance(value.get(name), str)), "")
        plain = one_line(words)[:_LONGEST]
        if isinstance(number, int) and not isinstance(number, bool) and plain:
            out.setdefault(number, plain)
    return out


def _mapping(text: str) -> dict[str, Any]:
    """Return the mapping that a text writes, as JSON or as Python does; an empty one for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, MemoryError, RecursionError):
        return python_mapping(text) or {}
    return value if isinstance(value, dict) else {}
