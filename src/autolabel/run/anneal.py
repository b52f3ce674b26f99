"""Confidence annealing: the rounds of each image, at falling thresholds, with no forward pass made twice."""

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

from autolabel.errors import MachineError
from autolabel.strategies import Aggregator, Detector
from autolabel.types import Instances, Prompt, Round, Size, boxes
from autolabel.types.ontology import Ontology, expand, fold

log = logging.getLogger(__name__)

Phrases = tuple[str, ...]
T = TypeVar("T")
R = TypeVar("R")
Outcome: TypeAlias = R | Exception


@dataclass(frozen=True, slots=True)
class Annealing:
    """What all images of a stage share."""

    rounds: Sequence[Round]
    aggregator: Aggregator
    ask: Literal["missing", "all"]
    ontology: Ontology = field(default_factory=dict)

    @property
    def floor(self) -> float:
        """The lowest threshold of all rounds: candidates below it are never needed."""
        return min(round.conf_threshold for round in self.rounds)


class Memory(Protocol):
    """What was asked about one image before."""

    def recall(self, prompt: Prompt) -> Instances | None:
        """Return the candidates for a prompt, None where they are not known."""
        ...

    def keep(self, prompt: Prompt, found: Instances) -> None:
        """Take in what the detector answered."""
        ...


@dataclass(slots=True)
class Candidates:
    """The detector's answer to one set of classes, and which of it has entered already."""

    found: Instances
    entered: npt.NDArray[np.bool_]


@dataclass(slots=True)
class Search:
    """One image on its way through the rounds; a pure state machine that asks for forward passes by phrases."""

    prompt: Prompt
    size: Size
    annealing: Annealing
    round: int = 0
    union: Instances = field(default_factory=Instances.empty)
    kept: Instances = field(default_factory=Instances.empty)
    answers: dict[Phrases, Candidates] = field(default_factory=dict)
    memory: Memory | None = None

    def wants(self) -> Phrases | None:
        """Run every round that needs no new forward pass; return the phrases the next one needs, None when done."""
        while self.round < len(self.annealing.rounds):
            phrases = self.asked()
            if not phrases:
                return None
            if phrases not in self.answers:
                known = self.memory.recall(self.asks(phrases)) if self.memory else None
                if known is None:
                    return phrases
                self.take(phrases, known)
            self.play(self.answers[phrases])
        return None

    def answer(self, phrases: Phrases, found: Instances) -> None:
        """Take in, and have remembered, what the detector answered; see ``take``."""
        if self.memory:
            self.memory.keep(self.asks(phrases), found)
        self.take(phrases, found)

    def take(self, phrases: Phrases, found: Instances) -> None:
        """Take in the candidates above the floor for ``phrases``; labels index what ``asks`` makes of these.

        Those that are not finite, or have no area inside the image, are dropped.
        """
        found = found.take(usable(found, self.size))
        if self.annealing.ontology:
            found = fold(found, phrases, self.annealing.ontology)
        index = {phrase: label for label, phrase in enumerate(self.prompt.phrases)}
        to_prompt = np.array([index[phrase] for phrase in phrases], np.int32)
        renamed = replace(found, labels=to_prompt[found.labels]) if len(found) else found
        self.answers[phrases] = Candidates(renamed, np.zeros(len(found), bool))

    def asks(self, phrases: Phrases) -> Prompt:
        """Return the prompt by which the detector is asked for ``phrases``: the ontology's words for them."""
        return Prompt(expand(phrases, self.annealing.ontology), self.prompt.caption)

    def result(self) -> Instances:
        """Return what is kept, cut at the image's edges: only here, so that overlaps are those of whole boxes."""
        return replace(self.kept, boxes=boxes.clip(self.kept.boxes, self.size))

    def asked(self) -> Phrases:
        """Return what this round asks: everything, or (TAO's rule) the phrases without a label."""
        return self.prompt.phrases if self.annealing.ask == "all" else self.missing()

    def missing(self) -> Phrases:
        """Return the phrases that no kept box carries."""
        have = set(self.kept.labels.tolist())
        return tuple(phrase for label, phrase in enumerate(self.prompt.phrases) if label not in have)

    def play(self, candidates: Candidates) -> None:
        """Play one round: let new candidates in, aggregate the raw union."""
        round = self.annealing.rounds[self.round]
        new = (candidates.found.scores > round.conf_threshold) & ~candidates.entered
        candidates.entered |= new
        self.round += 1
        if not new.any():
            return
        fresh = candidates.found.take(new)
        fresh = replace(fresh, rounds=np.full(len(fresh), round.index, np.int16))
        self.union = Instances.concatenate([self.union, fresh])
        self.kept = self.annealing.aggregator.aggregate(self.union, round)


def usable(found: Instances, size: Size) -> npt.NDArray[np.bool_]:
    """Return which of N candidates have finite numbers and some area inside the image."""
    finite = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    return finite & (boxes.areas(boxes.clip(np.where(finite[:, None], found.boxes, 0), size)) > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """An image that is to be searched: its place in the shard, what is asked, the preprocessed item."""

    position: int
    prompt: Prompt
    size: Size
    item: Any
    search: Search | None = None
    """How far it was searched from memory; None where there was nothing to recall."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A search with its prepared item, waiting for a forward pass."""

    position: int
    search: Search
    item: Any
    phrases: Phrases


def anneal(
    detector: Detector,
    batches: Iterable[Sequence[Asked]],
    annealing: Annealing,
    *,
    batch_size: int,
) -> Iterator[tuple[int, Outcome[Instances]]]:
    """Yield (position, labels or the error that image caused) for every image, in order of completion."""
    for position, outcome in searched(detector, batches, annealing, batch_size=batch_size):
        yield position, outcome.result() if isinstance(outcome, Search) else outcome


def searched(
    detector: Detector,
    batches: Iterable[Sequence[Asked]],
    annealing: Annealing,
    *,
    batch_size: int,
) -> Iterator[tuple[int, Outcome[Search]]]:
    """Yield (position, the finished search or the error that image caused) for every image, in order of completion.

    All ``batches`` are of one batch key. Images wait first in, first out, and
    those that are done leave: what shares a forward pass depends on the input alone, never on timing. Fewer than two
    batches are prepared at any time, which bounds the memory that vision features take.
    """
    waiting: deque[Waiting] = deque()
    source = iter(batches)
    exhausted = False
    while waiting or not exhausted:
        while len(waiting) < batch_size and not exhausted:
            batch = next(source, None)
            exhausted = batch is None
            if batch is not None:
                yield from admit(detector, batch, annealing, waiting)
        turn = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
        yield from forward(detector, turn, annealing.floor, waiting)


def admit(
    detector: Detector,
    batch: Sequence[Asked],
    annealing: Annealing,
    waiting: deque[Waiting],
) -> Iterator[tuple[int, Outcome[Search]]]:
    """Prepare a batch and let its images wait; yield those that have nothing to ask, or cannot be prepared."""
    prepared = salvage(detector.prepare, [asked.item for asked in batch])
    for asked, item in zip(batch, prepared, strict=True):
        if isinstance(item, Exception):
            yield asked.position, item
            continue
        search = asked.search or Search(asked.prompt, asked.size, annealing)
        phrases = search.wants()
        if phrases is None:
            yield asked.position, search
        else:
            waiting.append(Waiting(asked.position, search, item, phrases))


def forward(
    detector: Detector, turn: Sequence[Waiting], floor: float, waiting: deque[Waiting]
) -> Iterator[tuple[int, Outcome[Search]]]:
    """Make one forward pass; yield the images that are done, let the others wait again."""
    detect: Callable[[Sequence[Waiting]], Sequence[Instances]] = lambda items: detector.detect(  # noqa: E731
        [one.item for one in items], [one.search.asks(one.phrases) for one in items], floor
    )
    for one, found in zip(turn, salvage(detect, turn), strict=True):
        if isinstance(found, Exception):
            yield one.position, found
            continue
        one.search.answer(one.phrases, found)
        phrases = one.search.wants()
        if phrases is None:
            yield one.position, one.search
        else:
            waiting.append(Waiting(one.position, one.search, one.item, phrases))


def salvage(work: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T]) -> list[R | Exception]:
    """Return ``work(batch)``, or where that raises, the same for each half, down to the member that causes it.

    A batch that runs out of memory is halved in the same way, after its memory is freed. MachineError passes through.
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
    log.info("a batch of %d failed (%s: %s); trying its halves", len(batch), type(failure).__name__, failure)
    if out_of_memory(failure):
        free_memory()
    half = len(batch) // 2
    return salvage(work, batch[:half]) + salvage(work, batch[half:])


def out_of_memory(error: Exception) -> bool:
    """Return whether the host or the device ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def free_memory() -> None:
    """Give cached device memory back."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
