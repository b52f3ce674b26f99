"""Test a model with squares at known positions, and report the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from autolabel.endpoint import Message, Question, Reply
from autolabel.errors import EndpointError, ImageError
from autolabel.strategies import Finding
from autolabel.types import Image, Instances, Prompt, Sample, Size
from autolabel.types.boxes import iou
from autolabel_vlm import score
from autolabel_vlm.answer import Read, read
from autolabel_vlm.coordinates import Axes, Coordinates, restored
from autolabel_vlm.resize import Multiple
from autolabel_vlm.verify import chance_of_yes

if TYPE_CHECKING:
    from autolabel_vlm.caption import VlmCaptioner
    from autolabel_vlm.labeler import Vlm, _ShownPicture
    from autolabel_vlm.refer import VlmReferrer
    from autolabel_vlm.verify import Verify

_PHRASE = "red square"
_LANDS = 0.5
"""Minimum IoU of a correct box."""
_BETTER = 0.5
"""Another convention fits better if its error is at most this share of that of the spec."""


class _SamplePicture(NamedTuple):
    """A test picture: (height, width), and the square in it, in pixels."""

    size: Size
    square: tuple[int, int, int, int]


_PICTURES = (
    _SamplePicture((480, 640), (480, 90, 620, 230)),
    _SamplePicture((640, 480), (300, 460, 470, 630)),
    _SamplePicture((300, 900), (760, 140, 880, 260)),
    _SamplePicture((1100, 400), (200, 900, 390, 1090)),
    _SamplePicture((720, 720), (620, 560, 690, 630)),
    _SamplePicture((333, 517), (60, 40, 320, 300)),
)
"""Large and small, wide and high; mostly far from the origin, where all conventions agree."""


@dataclass(frozen=True, slots=True)
class _ServerReading:
    """A way of reading boxes."""

    coordinates: Coordinates
    axes: Axes
    multiple: int | None = None
    """Pixels of an image that the server brings to multiples of this."""

    def __str__(self) -> str:
        axes = "" if self.axes == "xyxy" else f", axes: {self.axes}"
        rule = f", resize: {{type: multiple, of: {self.multiple}}}" if self.multiple else ""
        return f"coordinates: {self.coordinates}{axes}{rule}"

    def boxes(self, shown: _ShownPicture, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return boxes of an answer in pixels of the picture."""
        sent = shown.sent
        if self.multiple:
            sent = Multiple(type="multiple", of=self.multiple, max_pixels=2**40).shape(sent)
        return restored(boxes, self.coordinates, self.axes, sent=sent, size=shown.size)[0]


@dataclass(frozen=True, slots=True)
class _ExpectedAnswer:
    """A picture, its sent size, and the answer."""

    picture: _SamplePicture
    shown: _ShownPicture
    reply: Reply
    read: Read

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """All boxes of the answer, unconverted."""
        return np.array([one.box for one in self.read.objects], np.float64).reshape(-1, 4)

    def miss(self, reading: _ServerReading) -> float:
        """Return the mean edge distance of the nearest box to the square, as a share of the picture."""
        height, width = self.picture.size
        found = reading.boxes(self.shown, self.boxes)
        away = np.abs(found - np.array(self.picture.square, np.float32)) / [width, height, width, height]
        return float(away.mean(axis=1).min())

    def overlap(self, reading: _ServerReading) -> float:
        """Return the best IoU of a box with the square."""
        if not len(self.boxes):
            return 0.0
        square = np.array([self.picture.square], np.float32)
        return float(iou(reading.boxes(self.shown, self.boxes), square).max())


def examine(labeler: Vlm) -> Sequence[Finding]:
    """Return the findings on a labeler's endpoint; raises EndpointError if it is not reached."""
    labeler.load("cpu")
    assert labeler.endpoint is not None
    samples = [_drawn(picture) for picture in _PICTURES]
    shown = [labeler.preprocess(sample) for sample in samples]
    questions = [labeler.question(one, (_PHRASE,), "") for one in shown]
    try:
        replies = labeler.endpoint.ask(questions)
    except EndpointError as error:
        return [Finding(subject="answers", said=error.message, right=False, hint=error.hint)]
    failed = [reply for reply in replies if isinstance(reply, ImageError)]
    asked = [
        _ExpectedAnswer(picture, one, reply, read(reply.text, cut=reply.cut))
        for picture, one, reply in zip(_PICTURES, shown, replies, strict=True)
        if isinstance(reply, Reply)
    ]
    found = [Finding(subject="answers", said=f"{one.code}: {one.message}", right=False) for one in failed[:1]]
    if asked:
        found += [_forms(asked), *_places(labeler, asked), _probabilities(labeler, asked)]
        found += _price(labeler, asked, questions[0])
    labeler.endpoint.close()
    return found


def examine_verifier(verifier: Verify) -> Sequence[Finding]:
    """Return the findings on a verifier's endpoint, tested with boxes on squares and boxes beside them."""
    verifier.load("cpu")
    assert verifier.endpoint is not None
    boxes = [(_drawn(picture), picture.square, True) for picture in _PICTURES]
    boxes += [(_drawn(picture), (5, 5, 45, 45), False) for picture in _PICTURES[:3]]
    questions = [verifier.question(_with_box(sample, box), 0) for sample, box, _ in boxes]
    try:
        replies = verifier.endpoint.ask(questions)
    except EndpointError as error:
        return [Finding(subject="answers", said=error.message, right=False, hint=error.hint)]
    finally:
        verifier.endpoint.close()
    chances = [float("nan") if isinstance(reply, ImageError) else chance_of_yes(reply) for reply in replies]
    right = [chance > 0.5 if there else chance < 0.5 for chance, (_, _, there) in zip(chances, boxes, strict=True)]
    plain = ", ".join("no answer" if np.isnan(chance) else f"{chance:.2f}" for chance in chances)
    given = all(isinstance(reply, Reply) and reply.tokens for reply in replies)
    return [
        Finding(
            subject="verdicts",
            said=f"{sum(right)} of {len(right)} are right; chances of the squares that are there, and of three that "
            f"are not: {plain}",
            right=all(right),
        ),
        Finding(
            subject="chances",
            said="token probabilities come" if given else "no token probabilities come: every verdict is 1 or 0",
            right=given,
        ),
    ]


def _with_box(sample: Sample, box: tuple[int, int, int, int]) -> Sample:
    """Return a picture with one box labelled as a red square."""
    found = Instances.build([box], scores=[0.5], labels=[0])
    return replace(sample, instances=found)


def _drawn(picture: _SamplePicture) -> Sample:
    """Draw a red square on grey."""
    x1, y1, x2, y2 = picture.square
    pixels = np.full((*picture.size, 3), 128, np.uint8)
    pixels[y1:y2, x1:x2] = (220, 20, 20)
    image = Image(id="square", path="", size=picture.size)
    return Sample(image=image, pixels=pixels, prompt=Prompt((_PHRASE,)), instances=Instances.empty())


def _forms(asked: Sequence[_ExpectedAnswer]) -> Finding:
    """Report the form of the answers."""
    counts: dict[str, int] = {}
    for one in asked:
        form = _form_of(one)
        counts[form] = counts.get(form, 0) + 1
    said = ", ".join(f"{count} {form}" for form, count in counts.items())
    readable = sum(one.read.whole for one in asked)
    hint = "" if readable == len(asked) else f"for example: {' '.join(asked[0].reply.text.split())[:120]!r}"
    return Finding(
        subject="answers",
        said=f"{readable} of {len(asked)} can be read: {said}",
        right=readable == len(asked),
        hint=hint,
    )


def _form_of(asked: _ExpectedAnswer) -> str:
    """Describe the form of an answer."""
    text = asked.reply.text.strip()
    if asked.read.cut:
        return "cut"
    if not asked.read.whole:
        return "without boxes that can be read"
    try:
        return "JSON of the form asked for" if isinstance(json.loads(text), list) else "JSON of another form"
    except ValueError:
        return "in code fences" if text.startswith("```") else "with text around"


def _readings() -> Iterator[_ServerReading]:
    """Yield every combination of coordinate settings."""
    axes: Axes
    for axes in ("xyxy", "yxyx"):
        for coordinates in ("pixels", "unit_1000", "unit_999", "unit_1"):
            yield _ServerReading(coordinates, axes)
        yield from (_ServerReading("pixels", axes, multiple) for multiple in (28, 32))


def _places(labeler: Vlm, asked: Sequence[_ExpectedAnswer]) -> Iterator[Finding]:
    """Report whether the boxes match, and which settings would fit better."""
    stated = _ServerReading(labeler.params.coordinates, labeler.params.axes)
    boxed = [one for one in asked if len(one.boxes)]
    landed = [one.overlap(stated) for one in boxed]
    hits = sum(overlap >= _LANDS for overlap in landed)
    said = f"{hits} of {len(asked)} boxes land with {stated}"
    if landed:
        said += f", overlap {min(landed):.2f} to {max(landed):.2f}"
    if not boxed:
        yield Finding(subject="boxes", said=said, right=False, hint="no answer holds a box: look at model and prompt")
        return
    misses = {reading: float(np.mean([one.miss(reading) for one in boxed])) for reading in [stated, *_readings()]}
    best = min(misses, key=lambda reading: misses[reading])
    overlaps = [one.overlap(best) for one in boxed]
    fits = sum(overlap >= _LANDS for overlap in overlaps)
    better = best != stated and misses[best] <= _BETTER * misses[stated] and fits >= max(hits, 1)
    hint = f"{best} would fit: {fits} land, overlap {min(overlaps):.2f} to {max(overlaps):.2f}" if better else ""
    if not better and hits < len(asked):
        hint = "no other system of coordinates fits better: the model may not be made for boxes"
    yield Finding(subject="boxes", said=said, right=hits == len(asked) and not better, hint=hint)


def examine_captioner(captioner: VlmCaptioner) -> Sequence[Finding]:
    """Return the findings on a captioner, tested with a red square; raises EndpointError if it is not reached."""
    from autolabel_vlm.caption import said_in

    captioner.load("cpu")
    assert captioner.endpoint is not None
    try:
        [reply] = captioner.endpoint.ask([captioner.question(_drawn(_PICTURES[0]))])
    except EndpointError as error:
        return [Finding(subject="caption", said=error.message, right=False, hint=error.hint)]
    caption = said_in(reply)
    if isinstance(caption, ImageError):
        return [Finding(subject="caption", said=caption.message, right=False, hint="look at model and prompt")]
    sees = "red" in caption.lower() and "square" in caption.lower()
    told = Finding(subject="caption", said=f"for an image of a red square: {caption[:200]}", right=sees or None)
    used = reply.usage if isinstance(reply, Reply) else Reply(text="").usage
    said = f"one caption takes {used.prompt_tokens:,} tokens of question and {used.completion_tokens:,} of answer"
    return [told, *([Finding(subject="cost", said=said)] if used.total else [])]


def examine_referrer(referrer: VlmReferrer) -> Sequence[Finding]:
    """Return the findings on a referrer, tested with two squares; raises EndpointError if it is not reached."""
    from autolabel_vlm.refer import expressions_in

    referrer.load("cpu")
    assert referrer.endpoint is not None
    try:
        [reply] = referrer.endpoint.ask([referrer.question(_two_squares(), (0, 1))])
    except EndpointError as error:
        return [Finding(subject="expressions", said=error.message, right=False, hint=error.hint)]
    finally:
        referrer.endpoint.close()
    if isinstance(reply, ImageError):
        return [Finding(subject="expressions", said=reply.message, right=False, hint="look at model and prompt")]
    told = expressions_in(reply.text)
    if {1, 2} - told.keys():
        hint = f"for example: {' '.join(reply.text.split())[:120]!r}"
        said = f"{len({1, 2} & told.keys())} of 2 can be read"
        return [Finding(subject="expressions", said=said, right=False, hint=hint)]
    right = "red" in told[1].lower() and "blue" in told[2].lower()
    said = f"for a red and a blue square: {told[1][:80]}; {told[2][:80]}"
    return [Finding(subject="expressions", said=said, right=right or None)]


def _two_squares() -> Sample:
    """Draw a red square, left, and a blue one, right, with a box around each."""
    drawn = _drawn(_SamplePicture((480, 640), (40, 60, 240, 260)))
    drawn.pixels[200:400, 400:600] = (20, 20, 220)
    boxes = [(40, 60, 240, 260), (400, 200, 600, 400)]
    found = Instances.build(boxes, scores=[1.0, 1.0], labels=[0, 0])
    return replace(drawn, prompt=Prompt(("square",)), instances=found)


def _probabilities(labeler: Vlm, asked: Sequence[_ExpectedAnswer]) -> Finding:
    """Report the source of scores."""
    if not labeler.params.probabilities:
        return Finding(subject="scores", said="token probabilities are not asked for: what the model says of itself")
    given = sum(score.from_tokens(one.reply, one.read.objects) is not None for one in asked)
    if given == len(asked):
        return Finding(subject="scores", said="token probabilities come", right=True)
    said = [found.score for one in asked for found in one.read.objects]
    rest = "what the model says of itself" if any(one is not None for one in said) else "none: 1 stands for every score"
    spelled = any(one.reply.tokens for one in asked)
    why = "token probabilities come, and do not spell the answer" if spelled else "no token probabilities come"
    return Finding(subject="scores", said=f"{why}; scores are {rest}")


def _price(labeler: Vlm, asked: Sequence[_ExpectedAnswer], question: Question) -> Iterator[Finding]:
    """Report the tokens of one image, as counted by the server."""
    used = [one.reply.usage for one in asked]
    if not any(one.total for one in used):
        yield Finding(subject="cost", said="the server does not count tokens")
        return
    question_tokens = round(float(np.mean([one.prompt_tokens for one in used])))
    answer_tokens = round(float(np.mean([one.completion_tokens for one in used])))
    said = f"one image takes about {question_tokens:,} tokens of question and {answer_tokens:,} of answer"
    yield Finding(subject="cost", said=said)
    words = [part for part in question.messages[0].parts if isinstance(part, str)]
    bare = replace(question, messages=(Message("user", tuple(words)),), max_tokens=1)
    assert labeler.endpoint is not None
    [reply] = labeler.endpoint.ask([bare])
    height, width = asked[0].shown.sent
    tokens = used[0].prompt_tokens - reply.usage.prompt_tokens if isinstance(reply, Reply) else 0
    if tokens > 0:
        each = height * width / tokens
        yield Finding(
            subject="cost",
            said=f"{width}x{height} pixels are {tokens:,} tokens",
            hint=f"for the forecast of a plan: pixels_per_token: {round(each)}",
        )
