"""Combine several detectors, and vote on their boxes."""

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
    """When a labeler supports a box, and how many supporters a box needs."""

    iou: float
    """A labeler supports a box if one of its candidates of the same label overlaps it by at least this."""
    votes: int
    """The number of labelers that must support a box to keep it."""


class Consensus(Detector):
    """Returns the candidates of all members, each with the member's name."""

    name = "consensus"

    def __init__(self, members: Sequence[Detector]) -> None:
        """Combine members that all give boxes, or all give masks."""
        super().__init__(Strategy.Params())
        self.members = tuple(members)
        self.names = told_apart([member.name for member in members])
        self.gives = members[0].gives

    def load(self, device: str) -> None:
        """Load every member."""
        for member in self.members:
            member.load(device)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the concatenated keys of all members."""
        return tuple(chain.from_iterable(member.batch_key(size) for member in self.members))

    def files(self) -> Sequence[Path]:
        """Return the files of all members."""
        return tuple(chain.from_iterable(member.files() for member in self.members))

    def check(self) -> None:
        """Check every member's weights."""
        for member in self.members:
            member.check()

    def licence(self) -> Licence:
        """Return the combined licence, which allows what all members' licences allow."""
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
        """Return the candidates of all members, member by member; an error if any member has one."""
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
        """Return the endpoint requests of all members."""
        return sum((member.requests(size, asked) for member in self.members), Requests())

    def counters(self) -> dict[str, int]:
        """Return the summed counters of the members."""
        total: Counter[str] = Counter()
        for member in self.members:
            total.update(member.counters())
        return dict(total)


def _joined_answers(parts: Sequence[Instances | ImageError]) -> Instances | ImageError:
    """Concatenate answers about one image, or return the first error among them."""
    failed = next((part for part in parts if isinstance(part, ImageError)), None)
    return failed or Instances.concatenate([part for part in parts if isinstance(part, Instances)])


class Voting(Aggregator):
    """Wraps an aggregator, and counts the labelers that support each kept box."""

    name = "voting"

    def __init__(self, aggregator: Aggregator, vote: Vote) -> None:
        super().__init__(Strategy.Params())
        self.aggregator = aggregator
        self.vote = vote

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the aggregator's boxes with enough supporting labelers; ``sources`` are their names, in order.

        A labeler supports a box if a candidate of it that has entered so far has the same label and an IoU of at least
        ``vote.iou``, or if the box is its own.
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
    """Return distinct names by numbering repeated ones: ``a``, ``a-2``."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(out)


def _joined(licences: Sequence[Licence]) -> Licence:
    """Combine licences: names joined by ``+``, forbidding what any of them forbids."""
    if not licences:
        return UNKNOWN
    allowed = {one.commercial for one in licences}
    commercial = False if False in allowed else None if None in allowed else True
    return Licence(" + ".join(dict.fromkeys(one.name for one in licences)), commercial)
