"""Confidence annealing: the rounds of each image at falling thresholds, without repeated forward passes."""

from __future__ import annotations

import gc
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from autolabel.detectors.looks import Looks
from autolabel.errors import ImageError, MachineError
from autolabel.strategies import Aggregator, Detector
from autolabel.types import Instances, Prompt, Round, Size, boxes
from autolabel.types.ontology import Ontology, collapse_to_classes, expand_prompts

_log = logging.getLogger(__name__)
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What drivers of cards say, and torch's allocator on a CPU (the last on Windows)."""

_Phrases = tuple[str, ...]
_Int64 = npt.NDArray[np.int64]
_T = TypeVar("_T")
_R = TypeVar("_R")
Outcome: TypeAlias = _R | Exception


@dataclass(frozen=True, slots=True)
class Annealing:
    """The annealing settings of a stage."""

    rounds: Sequence[Round]
    aggregator: Aggregator
    ask: Literal["missing", "all"]
    ontology: Ontology = field(default_factory=dict)
    looks: Looks = field(default_factory=Looks)

    @property
    def floor(self) -> float:
        """The lowest threshold of all rounds; candidates below it are never needed."""
        return min(round.conf_threshold for round in self.rounds)

    def keep(self, union: Instances, round: Round, asked: _Int64) -> Instances:
        """Return the boxes that a round keeps of the entered candidates; ``asked`` counts the looks of each class."""
        kept = self.aggregator.aggregate(union, round)
        return self.looks.weigh(kept, union, asked, above=round.conf_threshold)

    def settled(self, known: Instances, count: int) -> bool:
        """Return whether no more than ``count`` looks are needed; ``known`` are their candidates."""
        return self.looks.settled(self.aggregator.aggregate(known, self.rounds[-1]), known, count)


class _Memory(Protocol):
    """The cached answers about one image."""

    def recall(self, prompt: Prompt) -> Instances | None:
        """Return the cached candidates for a prompt, None if there are none."""
        ...

    def keep(self, prompt: Prompt, found: Instances) -> None:
        """Store the detector's answer."""
        ...


@dataclass(slots=True)
class Candidates:
    """The detector's candidates for one set of classes, and which of them have entered."""

    found: Instances
    entered: npt.NDArray[np.bool_]

    def enter(self, round: Round) -> Instances:
        """Return the candidates that enter in a round: above its threshold and not entered before, with its number."""
        new = (self.found.scores > round.conf_threshold) & ~self.entered
        self.entered |= new
        fresh = self.found.take(new)
        return replace(fresh, rounds=np.full(len(fresh), round.index, np.int16))


@dataclass(slots=True)
class Search:
    """The rounds of one image as a pure state machine that requests one forward pass at a time.

    Its queries are prompts that name classes and a look; ``asks`` converts them to the detector's phrases.
    """

    prompt: Prompt
    size: Size
    annealing: Annealing
    round: int = 0
    union: Instances = field(default_factory=Instances.empty)
    kept: Instances = field(default_factory=Instances.empty)
    answers: dict[Prompt, Candidates] = field(default_factory=dict)
    memory: _Memory | None = None
    last: Round | None = None
    """The last round that changed what is kept; None if nothing has entered."""
    enough: int | None = None
    """The number of looks after which no doubt was left; None if doubt remains or does not matter."""
    notes: dict[str, None] = field(default_factory=dict)
    """The detector's notes on its answers, without duplicates."""
    looked: _Int64 = field(init=False)
    """(P,) how many looks have been asked for each class."""

    def __post_init__(self) -> None:
        self.looked = np.zeros(len(self.prompt.phrases), np.int64)

    def next_query(self) -> Prompt | None:
        """Run all rounds that need no new forward pass; return the next query, None when done."""
        while self.round < len(self.annealing.rounds):
            questions = self.questions()
            if not questions:
                return None
            for question in questions:
                if question not in self.answers:
                    known = self.memory.recall(self.asks(question)) if self.memory else None
                    if known is None:
                        return question
                    self.ingest(question, known)
            self.run_round(questions)
        return None

    def questions(self) -> list[Prompt]:
        """Return this round's queries, one prompt per look; empty if every phrase has a label."""
        phrases, looks = self.asked(), self.annealing.looks.names[: self.depth]
        return [Prompt(phrases, self.prompt.caption, look) for look in looks] if phrases else []

    @property
    def depth(self) -> int:
        """The number of looks in this round."""
        return self.annealing.looks.in_round(self.round) if self.enough is None else self.enough

    def record_answer(self, question: Prompt, found: Instances) -> None:
        """Ingest and cache the detector's answer; see ``ingest``."""
        if self.memory:
            self.memory.keep(self.asks(question), found)
        self.ingest(question, found)

    def ingest(self, question: Prompt, found: Instances) -> None:
        """Add the candidates above the floor; labels index the phrases of ``asks``.

        Non-finite candidates, and those without area inside the image, are dropped.
        """
        self.notes |= dict.fromkeys(found.notes)
        found = found.take(_usable(found, self.size))
        if self.annealing.ontology:
            found = collapse_to_classes(found, question.phrases, self.annealing.ontology)
        index = {phrase: label for label, phrase in enumerate(self.prompt.phrases)}
        to_prompt = np.array([index[phrase] for phrase in question.phrases], np.int32)
        looks = None if question.look is None else (question.look,) * len(found)
        renamed = replace(found, labels=to_prompt[found.labels], looks=looks) if len(found) else found
        self.answers[question] = Candidates(renamed, np.zeros(len(found), bool))

    def asks(self, question: Prompt) -> Prompt:
        """Return the detector's prompt: the ontology's phrases for the classes of a query."""
        ontology = self.annealing.ontology
        return replace(question, phrases=expand_prompts(question.phrases, ontology)) if ontology else question

    def result(self) -> Instances:
        """Return the kept boxes, clipped to the image only here, so that overlaps are computed on whole boxes."""
        return replace(self.kept, boxes=boxes.clip(self.kept.boxes, self.size), notes=tuple(self.notes))

    def asked(self) -> _Phrases:
        """Return the phrases of this round: all, or with ``ask: missing`` (TAO's rule) those without a label."""
        return self.prompt.phrases if self.annealing.ask == "all" else self.missing()

    def missing(self) -> _Phrases:
        """Return the phrases without a kept box."""
        have = set(self.kept.labels.tolist())
        return tuple(phrase for label, phrase in enumerate(self.prompt.phrases) if label not in have)

    def run_round(self, questions: Sequence[Prompt]) -> None:
        """Run one round: add new candidates, aggregate the raw union."""
        round, looks = self.annealing.rounds[self.round], self.annealing.looks
        answers = [self.answers[question] for question in questions]
        fresh = [candidates.enter(round) for candidates in answers]
        self.union = Instances.concatenate([self.union, *fresh])
        asked = frozenset(questions[0].phrases)
        here = [label for label, phrase in enumerate(self.prompt.phrases) if phrase in asked]
        self.looked[here] = np.maximum(self.looked[here], len(questions))
        if any(map(len, fresh)) or (looks.agreement is not None and len(self.union)):
            self.kept, self.last = self.annealing.keep(self.union, round, self.looked), round
        if self.enough is None and len(questions) < len(looks.names):
            known = Instances.concatenate([one.found for one in answers])
            self.enough = len(questions) if self.annealing.settled(known, len(questions)) else None
        self.round += 1


def _usable(found: Instances, size: Size) -> npt.NDArray[np.bool_]:
    """Return which of N candidates have finite numbers and some area inside the image."""
    inside = boxes.clip(found.boxes, size)
    has_area = (inside[:, :2] < inside[:, 2:]).all(axis=1)
    usable: npt.NDArray[np.bool_] = has_area & np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    return usable


@dataclass(frozen=True, slots=True, eq=False)
class ImageToSearch:
    """An image to search: its position in the shard, its prompt, the preprocessed item."""

    position: int
    prompt: Prompt
    size: Size
    item: Any
    search: Search | None = None
    """The search so far, from cached answers; None without any."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A search with its prepared item, waiting for a forward pass."""

    position: int
    search: Search
    item: Any
    question: Prompt


def anneal(
    detector: Detector,
    batches: Iterable[Sequence[ImageToSearch]],
    annealing: Annealing,
    *,
    batch_size: int,
) -> Iterator[tuple[int, Outcome[Instances]]]:
    """Yield (position, labels or error) for every image, in order of completion."""
    for position, outcome in searched(detector, batches, annealing, batch_size=batch_size):
        yield position, outcome.result() if isinstance(outcome, Search) else outcome


def searched(
    detector: Detector,
    batches: Iterable[Sequence[ImageToSearch]],
    annealing: Annealing,
    *,
    batch_size: int,
) -> Iterator[tuple[int, Outcome[Search]]]:
    """Yield (position, finished search or error) for every image, in order of completion.

    All ``batches`` have one batch key. Images are queued first in, first out, and leave when done, so batches depend
    only on the input, never on timing. Fewer than two batches are prepared at any time, which bounds the memory for
    vision features.
    """
    waiting: deque[_Waiting] = deque()
    source = iter(batches)
    exhausted = False
    while waiting or not exhausted:
        while len(waiting) < batch_size and not exhausted:
            batch = next(source, None)
            exhausted = batch is None
            if batch is not None:
                yield from _admit(detector, batch, annealing, waiting)
        turn = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
        yield from _forward(detector, turn, annealing.floor, waiting)


def _admit(
    detector: Detector,
    batch: Sequence[ImageToSearch],
    annealing: Annealing,
    waiting: deque[_Waiting],
) -> Iterator[tuple[int, Outcome[Search]]]:
    """Prepare a batch and queue its images; yield images without queries, and images that fail."""
    prepared = bisect_on_error(detector.prepare, [asked.item for asked in batch])
    for asked, item in zip(batch, prepared, strict=True):
        if isinstance(item, Exception):
            yield asked.position, item
            continue
        search = asked.search or Search(asked.prompt, asked.size, annealing)
        question = search.next_query()
        if question is None:
            yield asked.position, search
        else:
            waiting.append(_Waiting(asked.position, search, item, question))


def _forward(
    detector: Detector, turn: Sequence[_Waiting], floor: float, waiting: deque[_Waiting]
) -> Iterator[tuple[int, Outcome[Search]]]:
    """Make one forward pass; yield finished images, and queue the others again."""
    detect: Callable[[Sequence[_Waiting]], Sequence[Instances | ImageError]] = lambda items: detector.detect(  # noqa: E731
        [one.item for one in items], [one.search.asks(one.question) for one in items], floor
    )
    for one, found in zip(turn, bisect_on_error(detect, turn), strict=True):
        if isinstance(found, Exception):
            yield one.position, found
            continue
        one.search.record_answer(one.question, found)
        question = one.search.next_query()
        if question is None:
            yield one.position, one.search
        else:
            waiting.append(_Waiting(one.position, one.search, one.item, question))


def bisect_on_error(work: Callable[[Sequence[_T]], Sequence[_R]], batch: Sequence[_T]) -> list[_R | Exception]:
    """Return ``work(batch)``; if that raises, bisect the batch down to the member that causes it.

    A batch that runs out of memory is bisected too, after its memory is freed. MachineError passes through.
    """
    if not batch:
        return []
    try:
        results = list(work(batch))
    except MachineError:
        raise
    except Exception as error:
        error.__traceback__ = None if out_of_memory(error) else error.__traceback__
        if len(batch) == 1:
            return [error]
        failure = error
    else:
        if len(results) != len(batch):
            raise RuntimeError(f"{work!r} returned {len(results)} results for a batch of {len(batch)}")
        return list(results)
    _log.info("a batch of %d failed (%s: %s); trying each half", len(batch), type(failure).__name__, failure)
    if out_of_memory(failure):
        _free_memory()
    half = len(batch) // 2
    return bisect_on_error(work, batch[:half]) + bisect_on_error(work, batch[half:])


def out_of_memory(error: Exception) -> bool:
    """Return whether the host or the device ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)


def _free_memory() -> None:
    """Free cached device memory."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
