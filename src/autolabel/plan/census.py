"""Count streamed rows: number, kinds, forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from autolabel.data.collect import Inputs
from autolabel.data.inputs import Input
from autolabel.errors import ImageError
from autolabel.plan.identity import Contents, Fingerprint
from autolabel.plan.model import Asked, Manifest, Shard, Stage
from autolabel.strategies import Captioner, Detector, Labeler, Referrer, Requests
from autolabel.types import Prompt, Size
from autolabel.types.ontology import Ontology, expand_prompts

_REMEMBERED = 10_000
"""Prompts whose forward passes are counted once."""

_TYPICAL = Prompt(tuple(f"phrase {number}" for number in range(8)))
"""The assumed phrases of an image without a caption."""

_Forwards = Callable[[Prompt], int]
_Asking = Callable[[Prompt, Size, int], Requests]


class Census:
    """Counts of rows, in memory that does not grow with them."""

    def __init__(
        self,
        classes: Sequence[str],
        forwards: Sequence[_Forwards | None],
        requests: Sequence[_Asking | None] = (),
        *,
        captioner: Captioner | None = None,
    ) -> None:
        self.classes = classes
        self.forwards = forwards
        self.passes = [0] * len(forwards)
        self.requests = requests
        self.asked = [Requests()] * len(requests)
        self.fingerprint = Fingerprint()
        self.contents = Contents()
        self.images = 0
        """The number of distinct images."""
        self.rows = 0
        self.captioner = captioner
        self.wanting = 0
        """Rows whose images are still to be described."""
        self.captions = Requests()
        """What that takes of an endpoint."""
        self.unusable = 0
        """Rows that have failed already."""

    def count(self, rows: Iterable[Input]) -> Iterator[Input]:
        """Count rows while passing them on."""
        for row in rows:
            self.rows += 1
            self.images += not row.caption_index
            self.fingerprint.add(row)
            self.contents.add(row)
            if row.code:
                self.unusable += 1
            elif row.wanting and self.captioner is not None:
                self.wanting += 1
                self.captions += _describing(self.captioner, (row.height, row.width))
                self.ask(_TYPICAL, (row.height, row.width), 0)
            else:
                self.ask(row.prompt(self.classes), (row.height, row.width), len(row.boxes))
            yield row

    def ask(self, prompt: Prompt, size: Size, boxes: int) -> None:
        """Add the maximum forward passes and endpoint requests of each stage for a row."""
        asked = Prompt(prompt.phrases)
        for stage, forwards in enumerate(self.forwards):
            if forwards is not None:
                self.passes[stage] += forwards(asked)
        for stage, asking in enumerate(self.requests):
            if asking is not None:
                self.asked[stage] += asking(asked, size, boxes)

    def manifest(self, inputs: Inputs, shards: tuple[Shard, ...]) -> Manifest:
        """Return the manifest, once all rows of ``inputs`` were counted."""
        known = (
            None if forwards is None else count for forwards, count in zip(self.forwards, self.passes, strict=True)
        )
        return Manifest(
            fingerprint=str(self.fingerprint),
            images=self.images,
            rows=self.rows,
            unusable=self.unusable,
            classes=tuple(self.classes),
            roots=inputs.roots,
            most_passes=tuple(known),
            shards=shards,
            passed_over=dict(sorted(inputs.passed_over.counts.items())),
            given=inputs.given,
            contents=str(self.contents),
            follow_symlinks=inputs.follow_symlinks,
            requests=tuple(
                None if asking is None else Asked(requests=sum_.requests, images=sum_.images, tokens=sum_.tokens)
                for asking, sum_ in zip(self.requests, self.asked, strict=True)
            ),
        )


def _describing(captioner: Captioner, size: Size) -> Requests:
    """Return the endpoint requests for a caption; none for an image that cannot be sent."""
    try:
        return captioner.requests(size)
    except ImageError:
        return Requests()


def most_asked(stage: Stage, *, phrases: int, round: int = 0) -> int:
    """Return the maximum number of queries about an image from a round on: one per set of phrases and look."""
    names = (None,) if stage.looks is None else stage.looks.names
    if stage.ask == "all":
        return len(names)
    by_round = stage.looks is not None and stage.looks.doubt is not None
    left = range(round, len(stage.rounds))
    looks = [min(one + 1, len(names)) if by_round else len(names) for one in left]
    return max(1, sum(sorted(looks)[-max(1, phrases) :]))


def forwards(labeler: Labeler, stage: Stage, ontology: Ontology) -> _Forwards | None:
    """Return a function from a prompt to the maximum number of forward passes in a stage.

    None for a segmenter, and for tiles, whose number depends on the image.

    A round that asks the same phrases in the same look reuses the candidates; with ``missing`` each new set is smaller
    than the last.
    """
    if not isinstance(labeler, Detector) or stage.tiles is not None:
        return None

    @lru_cache(_REMEMBERED)
    def of(prompt: Prompt) -> int:
        asked = most_asked(stage, phrases=len(prompt.phrases))
        try:
            return asked * labeler.passes(Prompt(expand_prompts(prompt.phrases, ontology))) if prompt.phrases else 0
        except ImageError:  # invalid phrases: only this row fails, when it is labelled
            return 0

    return of


def _referring(referrer: Referrer) -> _Asking:
    """Return what tells the most that the boxes of a row can ask of endpoints."""

    def of(prompt: Prompt, size: Size, boxes: int) -> Requests:
        try:
            return referrer.requests(size, boxes) if boxes else Requests()
        except ImageError:  # this row gets no expressions, alone
            return Requests()

    return of


def asking(labeler: Labeler, stage: Stage, ontology: Ontology) -> _Asking | None:
    """Return a function from a row to the maximum endpoint requests in a stage; None without an endpoint."""
    if not labeler.sends_to():
        return None
    if isinstance(labeler, Referrer):
        return _referring(labeler) if stage.index == 0 else None
    if not isinstance(labeler, Detector):
        return None

    def of(prompt: Prompt, size: Size, boxes: int) -> Requests:
        if not prompt.phrases:
            return Requests()
        try:
            one = labeler.requests(size, Prompt(expand_prompts(prompt.phrases, ontology)))
        except ImageError:  # only this row fails, when it is labelled
            return Requests()
        times = most_asked(stage, phrases=len(prompt.phrases))
        return Requests(one.requests * times, one.images * times, one.tokens * times)

    return of
