"""The detector that a spec names ``omdet_turbo``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from pydantic import StringConstraints

from autolabel.errors import ImageError, WeightsError
from autolabel.types import Instances, Prompt, Size
from autolabel_labeling.candidates import pairs_above, to_pixels
from autolabel_labeling.pixels import ResizedImage, Shaping
from autolabel_transformers.folder import FolderParams
from autolabel_transformers.phrase_detector import REMEMBERED, PhraseDetector, SeenImage
from autolabel_transformers.phrases import Ids

if TYPE_CHECKING:
    import numpy.typing as npt

    from autolabel_transformers.omdet_network import OmdetNetwork, Pyramid

_Floats: TypeAlias = "npt.NDArray[np.float32]"


def _omdet_backbone_is_timms(folder: Path, fields: Mapping[str, Any]) -> bool:
    """Return whether a configuration's backbone is timm's, as in the published models.

    Raises WeightsError if it is, and timm is not installed.
    """
    backbone = fields.get("backbone_config") or {}
    if not isinstance(backbone, Mapping) or backbone.get("model_type", "timm_backbone") != "timm_backbone":
        return False
    if find_spec("timm") is None:
        raise WeightsError(f"{folder}: its backbone is timm's", hint="pip install timm (which brings torchvision)")
    return True


_SHAPING = Shaping(exact=(640, 640))


@dataclass(frozen=True, slots=True)
class _TaskQuery:
    """One task with its classes: the query of one forward pass."""

    task: Ids
    classes: tuple[Ids, ...]
    owners: tuple[tuple[int, ...], ...]
    """For each class the labels that it stands for."""


class OmdetTurbo(PhraseDetector["OmdetNetwork"]):
    """Finds the objects that phrases name, with OmDet-Turbo (arXiv 2403.06892).

    The network encodes every phrase, and a task that lists them: "Detect cat, dog.". A list that exceeds the text
    encoder's length is split over several passes; nothing is truncated.
    """

    name = "omdet_turbo"
    kinds = ("omdet-turbo",)
    title = "an OmDet-Turbo"
    square = False
    sizes = {
        "text_config.vocab_size": ("language_backbone.model.embeddings.token_embedding.weight", 0),
        "text_config.hidden_size": ("language_backbone.model.embeddings.token_embedding.weight", 1),
    }
    counts = {
        "text_config.num_hidden_layers": "language_backbone.model.encoder.layers.",
        "decoder_num_layers": "decoder.layers.",
    }
    longest = 77
    shaping_default = _SHAPING

    class Params(FolderParams):
        """The checkpoint and how it is queried."""

        task: Annotated[str, StringConstraints(min_length=1)] | None = None
        """The task given to the network in place of "Detect" and the phrases; with it, all phrases share one pass."""

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._questions = lru_cache(REMEMBERED)(self._ask_anew)

    def takes_timm(self) -> bool:
        """Return whether the folder's backbone is timm's; raise WeightsError if it is and timm is not installed."""
        return _omdet_backbone_is_timms(self.folder, self.configuration)

    def questions(self, prompt: Prompt) -> tuple[_TaskQuery, ...]:
        """Return queries that together contain every phrase of a prompt once; none for no phrases.

        Raises ImageError if a phrase is empty, or too long for a task of its own.
        """
        return self._questions(prompt.phrases)

    def _ask_anew(self, phrases: tuple[str, ...]) -> tuple[_TaskQuery, ...]:
        prompt = Prompt(phrases)
        asked = self.sentences(prompt)
        if self.params.task is not None:
            return (self._question(asked, prompt, self.params.task),) if asked else ()
        hands = self._deal(asked, prompt)
        return tuple(self._question({ids: asked[ids] for ids in hand}, prompt, None) for hand in hands)

    def _deal(self, asked: Mapping[Ids, tuple[int, ...]], prompt: Prompt) -> Iterable[list[Ids]]:
        """Yield groups of sentences whose task fits the text encoder."""
        hand: list[Ids] = []
        for ids in asked:
            if hand and len(self._task([*hand, ids], asked, prompt)) > self.limit:
                yield hand
                hand = []
            hand.append(ids)
            if len(self._task(hand, asked, prompt)) > self.limit:
                phrase = prompt.phrases[asked[ids][0]]
                raise ImageError(
                    "phrase_too_long", f"the phrase {phrase[:60]!r} does not fit a task of {self.limit} tokens"
                )
        if hand:
            yield hand

    def _task(self, hand: Sequence[Ids], asked: Mapping[Ids, tuple[int, ...]], prompt: Prompt) -> Ids:
        names = ", ".join(prompt.phrases[asked[ids][0]] for ids in hand)
        return self.tokenizer.sentence(f"Detect {names}.")

    def _question(self, asked: Mapping[Ids, tuple[int, ...]], prompt: Prompt, task: str | None) -> _TaskQuery:
        read = self._task(list(asked), asked, prompt) if task is None else self.tokenizer.sentence(task)
        if len(read) > self.limit:
            raise ImageError("phrase_too_long", f"the task has {len(read)} tokens, at most {self.limit} can be read")
        return _TaskQuery(read, tuple(asked), tuple(asked.values()))

    def passes(self, prompt: Prompt) -> int:
        """Return the number of tasks needed for a prompt's phrases."""
        return len(self.questions(prompt))

    def read_network(self, device: str) -> OmdetNetwork:
        """Return the folder's network on ``device``."""
        from autolabel_transformers.omdet_network import load_omdet

        return load_omdet(
            self.folder, self.configuration, shaping=self.shaping, device=device, half=self.half, timm=self.takes_timm()
        )

    def prepare(self, batch: Sequence[ResizedImage]) -> Sequence[SeenImage[Pyramid]]:
        """Run the vision tower and its encoder once over a batch."""
        if not batch:
            return []
        seen = self.network.see([image.pixels for image in batch])
        return [SeenImage(pyramid, image.size) for pyramid, image in zip(seen, batch, strict=True)]

    def detect(
        self, prepared: Sequence[SeenImage[Pyramid]], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances]:
        """Return, for each image in order, the (box, phrase) pairs that score above ``floor``; none without phrases.

        Each query returns at most as many pairs as the network has boxes, the best first (transformers' rule).
        """
        questions = [self.questions(prompt) for prompt in prompts]
        found: list[list[Instances]] = [[] for _ in prepared]
        for turn in range(max(map(len, questions), default=0)):
            # Padding with empty classes would change the proposals, so only equal numbers of classes share a pass.
            groups = defaultdict(list)
            for index, own in enumerate(questions):
                if turn < len(own):
                    groups[len(own[turn].classes)].append(index)
            for group in groups.values():
                asked = [questions[index][turn] for index in group]
                for index, part in zip(group, self._ask([prepared[i] for i in group], asked, floor), strict=True):
                    found[index].append(part)
        return [Instances.concatenate(parts) for parts in found]

    def _ask(self, images: Sequence[SeenImage[Pyramid]], asked: Sequence[_TaskQuery], floor: float) -> list[Instances]:
        answers = self.network.ask(
            [image.features for image in images], [(question.task, question.classes) for question in asked]
        )
        return [
            _best(scores, boxes, question, size=image.size, floor=floor)
            for (scores, boxes), question, image in zip(answers, asked, images, strict=True)
        ]


def _best(scores: _Floats, boxes: _Floats, question: _TaskQuery, *, size: Size, floor: float) -> Instances:
    """Return the best pairs, at most as many as there are boxes, that score above ``floor``.

    ``scores`` are (boxes, classes), ``boxes`` (boxes, 4) as centre x, y, width, height in 0..1.
    """
    surplus = scores.size - len(boxes)
    if surplus > 0:
        scores = np.where(scores >= np.partition(scores, surplus, axis=None)[surplus], scores, -1)
    return pairs_above(scores, to_pixels(boxes, size), question.owners, floor=floor)
