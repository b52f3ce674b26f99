"""Several detectors asked the same, and how many of them agree on a box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.errors import ImageError
from autolabel.strategies import Aggregator, Detector, Requests, Strategy
from autolabel.types import Instances, Prompt, Round, Sample, Size
from autolabel.types.boxes import iou
from autolabel.weights import UNKNOWN, Licence


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """When a box is held to be found by a labeler, and by how many it must be."""

    iou: float
    """A labeler supports a box if one of its candidates of the same label overlaps it by at least this."""
    votes: int
    """The number of labelers that must support a box to keep it."""


class Consensus(Detector):
    """Asks each member and returns all their candidates, each with the name of the member it comes from."""

    name = "consensus"

    def __init__(self, members: Sequence[Detector]) -> None:
        """Take members that all give boxes, or all masks."""
        super().__init__(Strategy.Params())
        self.members = tuple(members)
        self.names = told_apart([member.name for member in members])
        self.gives = members[0].gives

    def load(self, device: str) -> None:
        """Load every member."""
        for member in self.members:
            member.load(device)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the keys of all members, one after the other."""
        return tuple(chain.from_iterable(member.batch_key(size) for member in self.members))

    def files(self) -> Sequence[Path]:
        """Return the files of all members."""
        return tuple(chain.from_iterable(member.files() for member in self.members))

    def check(self) -> None:
        """Check every member's weights."""
        for member in self.members:
            member.check()

    def licence(self) -> Licence:
        """Return the licences of all members as one, which allows what all of them allow."""
        return _joined([member.licence() for member in self.members if member.files()])

    def preprocess(self, sample: Sample) -> tuple[Any, ...]:
        """Preprocess a sample for every member."""
        return tuple(member.preprocess(sample) for member in self.members)

    def prepare(self, batch: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """Prepare a batch for every member."""
        columns = [member.prepare([item[index] for item in batch]) for index, member in enumerate(self.members)]
        return list(zip(*columns, strict=True))

    def detect(
        self, prepared: Sequence[tuple[Any, ...]], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances | ImageError]:
        """Return the candidates of all members, member by member; an error where any has one."""
        found: list[list[Instances | ImageError]] = [[] for _ in prepared]
        for index, (member, name) in enumerate(zip(self.members, self.names, strict=True)):
            answers = member.detect([item[index] for item in prepared], prompts, floor)
            for parts, answer in zip(found, answers, strict=True):
                marked = answer if isinstance(answer, ImageError) else replace(answer, sources=((name,),) * len(answer))
                parts.append(marked)
        return [_joined_answers(parts) for parts in found]

    def passes(self, prompt: Prompt) -> int:
        """Return the forward passes of all members."""
        return sum(member.passes(prompt) for member in self.members)

    def sends_to(self) -> Sequence[str]:
        """Return where any member sends images."""
        return tuple(dict.fromkeys(chain.from_iterable(member.sends_to() for member in self.members)))

    def requests(self, size: Size, asked: Prompt) -> Requests:
        """Return what all members ask of endpoints."""
        return sum((member.requests(size, asked) for member in self.members), Requests())

    def counters(self) -> dict[str, int]:
        """Return the sums of what the members count."""
        total: Counter[str] = Counter()
        for member in self.members:
            total.update(member.counters())
        return dict(total)


def _joined_answers(parts: Sequence[Instances | ImageError]) -> Instances | ImageError:
    """Return answers about one image as one, or the first error among them."""
    failed = next((part for part in parts if isinstance(part, ImageError)), None)
    return failed or Instances.concatenate([part for part in parts if isinstance(part, Instances)])


class Voting(Aggregator):
    """Lets another aggregator decide, then counts for each kept box the labelers that support it."""

    name = "voting"

    def __init__(self, aggregator: Aggregator, vote: Vote) -> None:
        super().__init__(Strategy.Params())
        self.aggregator = aggregator
        self.vote = vote

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return what the aggregator keeps and enough labelers support; ``sources`` are those that do, in their order.

        A labeler supports a box with any candidate that has entered so far, of the same label and with an IoU of at
        least ``vote.iou``; a box of its own always counts.
        """
        kept = self.aggregator.aggregate(instances, round)
        sources = [_supporters(kept, index, instances, self.vote.iou) for index in range(len(kept))]
        enough = np.array([len(names) >= self.vote.votes for names in sources], np.bool_)
        return replace(kept, sources=tuple(sources)).take(enough)


def _supporters(kept: Instances, index: int, union: Instances, least: float) -> tuple[str, ...]:
    """Return the names of the labelers with a candidate in ``union`` that supports a kept box, sorted."""
    overlap = iou(union.boxes, kept.boxes[index : index + 1])[:, 0]
    close = np.flatnonzero((overlap >= least) & (union.labels == kept.labels[index]))
    own = kept.sources[index] if kept.sources else ()
    return tuple(sorted({*own, *chain.from_iterable((union.sources or ())[i] for i in close)}))


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return names with a number after each that was there before: ``a``, ``a-2``."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(out)


def _joined(licences: Sequence[Licence]) -> Licence:
    """Return several licences as one: their names joined by ``+``, forbidding what any of them forbids."""
    if not licences:
        return UNKNOWN
    allowed = {one.commercial for one in licences}
    commercial = False if False in allowed else None if None in allowed else True
    return Licence(" + ".join(dict.fromkeys(one.name for one in licences)), commercial)
