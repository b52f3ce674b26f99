"""The labeler ``vlm``: boxes written by a vision-language model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from autolabel.endpoint import Message, Picture, Question, Reply
from autolabel.errors import ImageError
from autolabel.strategies import Detector, Finding, Requests
from autolabel.types import Instances, Prompt, Sample, Size
from autolabel_vlm import answer, coordinates, prompt, resize, score
from autolabel_vlm.asking import AsksEndpoint, unless_refused
from autolabel_vlm.caption import VlmCaptioner
from autolabel_vlm.params import VlmParams

_ANSWER = 200
"""Tokens that an answer is expected to take, for the forecast of a plan."""
_REPEATED = 2_000
"""Characters of an answer that cannot be read, shown to the model again."""
_PROBABILITIES = "scores are token probabilities"
_REPORTED = "scores are what the model says of itself"
_NONE = "the model gives no scores: 1 is used"


class _ShownPicture(NamedTuple):
    """An encoded image."""

    size: Size
    sent: Size
    picture: Picture


@dataclass(slots=True)
class _AnsweredQuestion:
    """One question about an image, with its parsed answers."""

    item: int
    shown: _ShownPicture
    phrases: tuple[str, ...]
    question: Question
    replies: list[Reply] = field(default_factory=list)
    reads: list[answer.Read] = field(default_factory=list)
    error: ImageError | None = None
    notes: dict[str, None] = field(default_factory=dict)

    def tell(self, text: str) -> None:
        """Add a note about the answers."""
        self.notes[f"{Vlm.name}: {text}"] = None

    def take(self, reply: Reply | ImageError) -> None:
        """Add a reply."""
        reply = unless_refused(reply)
        if isinstance(reply, ImageError):
            self.error = reply
        else:
            self.replies.append(reply)
            self.reads.append(answer.read(reply.text, cut=reply.cut))

    @property
    def objects(self) -> list[answer.Found]:
        """All parsed objects."""
        return [found for read in self.reads for found in read.objects]


class Vlm(AsksEndpoint, Detector):
    """Requests boxes from a vision-language model, by a prompt and a JSON schema, and parses its answers."""

    name = "vlm"
    incidental = VlmParams.INCIDENTAL
    params: VlmParams

    class Params(VlmParams):
        """The server, and the coordinate convention of its boxes."""

    def __init__(self, params: VlmParams) -> None:
        super().__init__(params)
        self.count: Counter[str] = Counter()

    def requests(self, size: Size, asked: Prompt) -> Requests:
        """Return the endpoint requests for a question about an image of ``size``."""
        parts, picture = self.passes(asked), self.params.picture_tokens(size)
        words = (len(self.params.prompt) + 40) * parts + sum(len(phrase) + 4 for phrase in asked.phrases)
        return Requests(requests=parts, images=parts, tokens=parts * (picture + _ANSWER) + words // 4)

    def captioner(self) -> VlmCaptioner:
        """Return a captioner with the same model."""
        return VlmCaptioner.of(self.params)

    def examine(self) -> Sequence[Finding]:
        """Test with squares at known positions."""
        from autolabel_vlm.doctor import examine

        return examine(self)

    def passes(self, prompt: Prompt) -> int:
        """Return the number of questions needed for a prompt."""
        return max(1, -(-len(prompt.phrases) // self.params.phrases_per_request))

    def preprocess(self, sample: Sample) -> _ShownPicture:
        """Resize and encode an image."""
        size = sample.image.size
        sent = self.params.resize.shape(size)
        picture = resize.picture(sample.pixels, sent, kind=self.params.image_format, quality=self.params.quality)
        return _ShownPicture(size, sent, picture)

    def prepare(self, batch: Sequence[_ShownPicture]) -> Sequence[_ShownPicture]:
        """Return the images unchanged."""
        return batch

    def detect(
        self, prepared: Sequence[_ShownPicture], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances | ImageError]:
        """Send the questions about all images at once; repeat truncated and unreadable ones once."""
        pairs = enumerate(zip(prepared, prompts, strict=True))
        asked = [one for place, (shown, text) in pairs for one in self.dealt(place, shown, text)]
        self.ask(asked, [one.question for one in asked])
        again = [one for one in asked if one.error is None and not one.reads[0].whole]
        self.count["asked_again"] += len(again)
        self.ask(again, [_rest(one) for one in again])
        return [
            self.found(shown, text, [one for one in asked if one.item == place], floor)
            for place, (shown, text) in enumerate(zip(prepared, prompts, strict=True))
        ]

    def ask(self, asked: Sequence[_AnsweredQuestion], questions: Sequence[Question]) -> None:
        """Send questions and add their replies; if a repeated question fails, the first answer is kept."""
        assert self.endpoint is not None, "load comes first"
        for one, reply in zip(asked, self.endpoint.ask(questions), strict=True):
            one.take(reply)
            if one.reads and one.error is not None:
                one.tell(f"asked again, there was no answer: {one.error.message}")
                one.error = None

    def dealt(self, place: int, shown: _ShownPicture, text: Prompt) -> Iterator[_AnsweredQuestion]:
        """Yield the questions of one image."""
        step = self.params.phrases_per_request
        for start in range(0, len(text.phrases), step):
            phrases = text.phrases[start : start + step]
            yield _AnsweredQuestion(place, shown, phrases, self.question(shown, phrases, text.caption or ""))

    def question(self, shown: _ShownPicture, phrases: Sequence[str], caption: str) -> Question:
        """Return the question about some phrases."""
        params = self.params
        values = {
            "phrases": prompt.listed(phrases),
            "coordinates": coordinates.described(params.coordinates, sent=shown.sent),
            "corners": coordinates.corners(params.axes),
            "caption": caption,
            "width": str(shown.sent[1]),
            "height": str(shown.sent[0]),
        }
        return Question.of(
            prompt.filled(params.prompt, values)
            + (prompt.IN_OBJECT if params.response_format == "json_object" else ""),
            shown.picture,
            max_tokens=params.max_tokens,
            temperature=params.temperature,
            seed=params.seed,
            form=params.response_format,
            schema=prompt.schema(phrases),
            probabilities=0 if params.probabilities else None,
            request=params.request,
        )

    def found(
        self, shown: _ShownPicture, text: Prompt, asked: Sequence[_AnsweredQuestion], floor: float
    ) -> Instances | ImageError:
        """Return the instances from the answers about one image, or an error."""
        parts = []
        for one in asked:
            error = one.error or _unread(one)
            if error is not None:
                return error
            self.account(one)
            parts.append(self.instances(shown, text, one))
        found = Instances.concatenate([part for part in parts if isinstance(part, Instances)])
        failed = [part for part in parts if isinstance(part, ImageError)]
        return failed[0] if failed else found.take(found.scores > floor)

    def instances(self, shown: _ShownPicture, text: Prompt, asked: _AnsweredQuestion) -> Instances | ImageError:
        """Return the boxes of one question in pixels of the image; an error if all are out of range."""
        objects, scores = asked.objects, self.scores(asked)
        if not objects:
            return replace(Instances.empty(), notes=tuple(asked.notes))
        index = {_normal(phrase): label for label, phrase in enumerate(text.phrases) if phrase in asked.phrases}
        only = text.phrases.index(asked.phrases[0]) if len(asked.phrases) == 1 else None
        labels = [index.get(_normal(one.label)) if one.label else only for one in objects]
        others = sorted({one.label for one, label in zip(objects, labels, strict=True) if label is None})
        if others:
            said = ", ".join(repr(name[:40]) for name in others[:3])
            asked.tell(f"left out labels that were not asked for: {said}{', ...' if len(others) > 3 else ''}")
        boxes, inside = coordinates.restored(
            np.array([one.box for one in objects]),
            self.params.coordinates,
            self.params.axes,
            sent=shown.sent,
            size=shown.size,
        )
        if not inside.any():
            return self.out_of_range(objects[0])
        if not inside.all():
            self.count["out_of_range"] += int((~inside).sum())
            asked.tell(f"left out {(~inside).sum()} of {len(inside)} boxes that are no {self.params.coordinates}")
        keep = inside & np.array([label is not None for label in labels])
        found = Instances.build(boxes, scores=scores, labels=[-1 if label is None else label for label in labels]).take(
            keep
        )
        return replace(_without_doubles(found), notes=tuple(asked.notes))

    def out_of_range(self, found: answer.Found) -> ImageError:
        """Return the error for coordinates that contradict the spec."""
        numbers = ", ".join(f"{number:g}" for number in found.box)
        told = f"a box [{numbers}] is none of coordinates: {self.params.coordinates}; see `autolabel doctor --endpoint`"
        return ImageError("wrong_coordinates", told)

    def scores(self, asked: _AnsweredQuestion) -> list[float]:
        """Return a score for each object, and note its source."""
        out: list[float] = []
        for reply, read in zip(asked.replies, asked.reads, strict=True):
            if not read.objects:
                continue
            known = score.from_tokens(reply, read.objects) if self.params.probabilities else None
            if known is not None:
                asked.tell(_PROBABILITIES)
                out += known
                continue
            said = [one.score for one in read.objects]
            asked.tell(_NONE if said.count(None) == len(said) else _REPORTED)
            out += [1.0 if one is None else one for one in said]
        return out

    def account(self, asked: _AnsweredQuestion) -> None:
        """Count and note truncated and unreadable objects."""
        first = asked.reads[0]
        self.count["cut"] += first.cut
        self.count["unreadable"] += first.unreadable
        if first.whole:
            return
        cause = "was cut" if first.cut else f"had {first.unreadable} unreadable objects" if first.unreadable else ""
        known = {(one.box, one.label) for one in first.objects}
        more = sum((one.box, one.label) not in known for read in asked.reads[1:] for one in read.objects)
        asked.tell(
            f"the answer {cause or 'could not be read'} after {len(first.objects)} objects; asked again: {more} more",
        )
        if any(read.cut for read in asked.reads[1:]):
            asked.tell("the second answer was cut as well: objects are missing")

    def counters(self) -> dict[str, int]:
        """Return the numbers of requests, cached answers, and unreadable objects."""
        return {**super().counters(), **self.count}


def _normal(label: str) -> str:
    """Return a label normalised in case, spaces and surrounding full stops."""
    return " ".join(label.casefold().strip(" .\"'").split())


def _rest(asked: _AnsweredQuestion) -> Question:
    """Return the question for the missing part of an answer."""
    objects = asked.objects
    text = asked.replies[0].text
    if objects:
        whole = "[" + ", ".join(text[one.start : one.end] for one in objects) + "]"
        more = (Message("assistant", (whole,)), Message("user", (prompt.REST,)))
    else:
        more = (Message("assistant", (text[:_REPEATED] or "[",)), Message("user", (prompt.AGAIN,)))
    return replace(asked.question, messages=(*asked.question.messages, *more))


def _unread(asked: _AnsweredQuestion) -> ImageError | None:
    """Return the error if no answer could be read; otherwise None."""
    if asked.objects or any(read.nothing for read in asked.reads):
        return None
    said = json.dumps(" ".join(asked.replies[0].text.split())[:120], ensure_ascii=False)
    return ImageError("unreadable_answer", f"no box could be read in two answers, the first: {said}")


def _without_doubles(found: Instances) -> Instances:
    """Return boxes without duplicates of the same label."""
    seen: set[tuple[float, ...]] = set()
    keep = []
    for index, row in enumerate(zip(found.boxes.tolist(), found.labels.tolist(), strict=True)):
        key = (*row[0], row[1])
        if key not in seen:
            keep.append(index)
        seen.add(key)
    return found.take(np.array(keep, np.intp))
