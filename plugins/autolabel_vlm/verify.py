"""The labeler ``verify``: a vision-language model checks whether boxes have the objects of their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from autolabel.endpoint import Question, Reply
from autolabel.errors import ImageError
from autolabel.strategies import Finding, Verifier
from autolabel.types import Sample
from autolabel_vlm import prompt, resize
from autolabel_vlm.asking import AsksEndpoint
from autolabel_vlm.params import PictureParams, naming

if TYPE_CHECKING:
    import numpy.typing as npt

_COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
_DEFAULT = "Is the object in the {colour} box a {phrase}? Answer yes or no."
_THINNEST = 2
_SHARE = 400
"""The line width is the image's longer side divided by this."""


class VerifyParams(PictureParams, Verifier.Params):
    """The server, which boxes are checked, and how they are drawn."""

    prompt: Annotated[str, naming("{phrase}", "has no place for what a box is called: {phrase}")] = _DEFAULT
    """The question; ``{phrase}`` and ``{colour}`` are filled in."""
    colour: Literal["red", "lime", "blue", "yellow"] = "red"
    """The colour of the line that is drawn around a box."""
    alternatives: Annotated[int, Field(ge=1, le=20)] = 20
    """The number of alternative tokens (``top_logprobs``) in which yes and no are searched."""


class Verify(AsksEndpoint, Verifier):
    """Shows the whole image with one box drawn, and takes p(yes) / (p(yes) + p(no)) of the first token."""

    name = "verify"
    incidental = VerifyParams.INCIDENTAL
    params: VerifyParams

    class Params(VerifyParams):
        """The server, which boxes are checked, and how they are drawn."""

    def examine(self) -> Sequence[Finding]:
        """Test with boxes on squares and boxes beside them."""
        from autolabel_vlm.doctor import examine_verifier

        return examine_verifier(self)

    def verify(self, batch: Sequence[Sample]) -> Sequence[npt.NDArray[np.float32] | ImageError]:
        """Return the verdicts on the boxes of each sample; all requests are sent at once."""
        assert self.endpoint is not None, "load comes first"
        questions: list[Question] = []
        places: list[tuple[int, int] | ImageError] = []
        for sample in batch:
            try:
                mine = [self.question(sample, index) for index in range(len(sample.instances))]
            except ImageError as error:
                places.append(error)
                continue
            places.append((len(questions), len(questions) + len(mine)))
            questions += mine
        replies = self.endpoint.ask(questions)
        return [place if isinstance(place, ImageError) else _verdicts(replies[slice(*place)]) for place in places]

    def question(self, sample: Sample, index: int) -> Question:
        """Return the question about one box."""
        params, found = self.params, sample.instances
        words = (found.expressions[index] if found.expressions else None) or (
            found.asked[index] if found.asked else None
        )
        phrase = words or sample.prompt.phrases[int(found.labels[index])]
        shown = _resized(sample.pixels, params.resize.shape(sample.image.size))
        outlined = outline(shown, found.boxes[index], sample.image.size, _COLOURS[params.colour])
        size = (outlined.shape[0], outlined.shape[1])
        picture = resize.picture(outlined, size, kind=params.image_format, quality=params.quality)
        return Question.of(
            prompt.filled(params.prompt, {"phrase": phrase, "colour": params.colour}),
            picture,
            max_tokens=1,
            temperature=0.0,
            seed=params.seed,
            probabilities=params.alternatives,
            request=params.request,
        )


def _verdicts(replies: Sequence[Reply | ImageError]) -> npt.NDArray[np.float32] | ImageError:
    """Return the verdict of each reply, NaN if it has none; an error if all requests failed."""
    failed = [reply for reply in replies if isinstance(reply, ImageError)]
    if failed and len(failed) == len(replies):
        return failed[0]
    found = [math.nan if isinstance(reply, ImageError) else chance_of_yes(reply) for reply in replies]
    return np.array(found, np.float32)


def chance_of_yes(reply: Reply) -> float:
    """Return p(yes) / (p(yes) + p(no)) of the first token, summed over spellings; NaN if it is neither.

    Without token probabilities, 1 for yes and 0 for no.
    """
    chances = {"yes": 0.0, "no": 0.0}
    if reply.tokens:
        first = reply.tokens[0]
        options = dict(first.others) | {first.text: first.logprob}
        for text, logprob in options.items():
            if (word := plain(text)) in chances:
                chances[word] += math.exp(min(logprob, 0.0))
    elif (word := plain(reply.text)) in chances:
        chances[word] = 1.0
    total = chances["yes"] + chances["no"]
    return chances["yes"] / total if total > 0 else math.nan


def plain(token: str) -> str:
    """Return a word without markers of tokenizers and models."""
    return token.strip(" \t\n\r.,!\"'*▁Ġ").lower()


def _resized(pixels: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) pixels in (height, width) ``shape``."""
    from PIL import Image

    if pixels.shape[:2] == shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def outline(
    pixels: npt.NDArray[np.uint8], box: npt.NDArray[np.float32], size: tuple[int, int], colour: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Return a copy of pixels with a line drawn just outside a box, given in pixels of the image of ``size``."""
    height, width = pixels.shape[:2]
    scale = np.array([width / size[1], height / size[0]] * 2)
    x1, y1, x2, y2 = (box * scale).tolist()
    wide = max(_THINNEST, round(max(height, width) / _SHARE))
    left, top = max(math.floor(x1), 0), max(math.floor(y1), 0)
    right, bottom = min(math.ceil(x2), width), min(math.ceil(y2), height)
    out = pixels.copy()
    whole = (slice(max(top - wide, 0), bottom + wide), slice(max(left - wide, 0), right + wide))
    out[whole] = colour
    out[top:bottom, left:right] = pixels[top:bottom, left:right]
    edges = (top == 0, left == 0, bottom == height, right == width)  # no room outside: draw the line inside
    for at_edge, line in zip(
        edges,
        (
            (slice(0, wide), slice(left, right)),
            (slice(top, bottom), slice(0, wide)),
            (slice(height - wide, height), slice(left, right)),
            (slice(top, bottom), slice(width - wide, width)),
        ),
        strict=True,
    ):
        if at_edge:
            out[line] = colour
    return out
