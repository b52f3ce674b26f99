"""Compute the detector's candidates for all compared phrases together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from autolabel.data.batches import batches
from autolabel.data.prefetch import prefetch
from autolabel.detectors import Looks
from autolabel.errors import MachineError, WorkerError
from autolabel.plan.model import Plan
from autolabel.run.anneal import Annealing, ImageToSearch, Search, searched
from autolabel.run.candidates import CandidateStore, ImageMemory, content_of
from autolabel.run.stage import preprocess, read_row
from autolabel.strategies import Detector
from autolabel.types import Instances, Labels, Prompt, Round


@dataclass(frozen=True, slots=True, eq=False)
class ImageAnswers:
    """The candidates of one image for all phrases and looks; serves any prompt of these phrases."""

    phrases: tuple[str, ...]
    by_look: Mapping[str | None, Instances]
    """Labels index ``phrases``."""

    def recall(self, prompt: Prompt) -> Instances:
        """Return the candidates of a prompt's phrases, labelled as the prompt lists them."""
        found = self.by_look[prompt.look]
        place = np.full(len(self.phrases), -1, np.int32)
        place[[self.phrases.index(phrase) for phrase in prompt.phrases]] = np.arange(len(prompt.phrases))
        kept = found.take(place[found.labels] >= 0)
        return replace(kept, labels=place[kept.labels])

    def keep(self, prompt: Prompt, found: Instances) -> None:
        """Do nothing: all candidates are known."""


class _Everything(Annealing):
    """An annealing without merging, to collect the detector's candidates."""

    def keep(self, union: Instances, round: Round, asked: object) -> Instances:
        """Return the candidates unchanged."""
        return union


@dataclass(slots=True, eq=False)
class Questioner:
    """A detector that runs once per image, for all phrases together."""

    plan: Plan
    detector: Detector
    annealing: Annealing
    device: str
    candidates: CandidateStore | None
    loaded: bool = False

    @classmethod
    def of(cls, plan: Plan, detector: Detector, annealing: Annealing, *, floor: float, device: str) -> Questioner:
        """Return a questioner for candidates above ``floor`` in every look; answers are cached as the plan says."""
        rounds, looks = [Round(index=0, conf_threshold=floor)], Looks(annealing.looks.names)
        asking = _Everything(rounds, annealing.aggregator, "all", looks=looks)
        return cls(plan, detector, asking, device, CandidateStore.of(plan, plan.recipe.stages[0]))

    def ask(self, rows: Sequence[Labels], phrases: tuple[str, ...]) -> Iterator[tuple[int, ImageAnswers | Exception]]:
        """Yield (row index, answers or error), in order of completion."""
        if not phrases:
            return
        searches = {place: self.search(row, phrases) for place, row in enumerate(rows)}
        left = [place for place, search in searches.items() if search.next_query() is not None]
        for place in sorted(searches.keys() - set(left)):
            yield place, _answers_of(searches[place], phrases)
        if left and not self.loaded:
            self.detector.load(self.device)
            self.loaded = True
        by_key = sorted(left, key=lambda place: self.key(rows[place]))
        for _, group in groupby(by_key, key=lambda place: self.key(rows[place])):
            yield from self.same_key(rows, list(group), searches, phrases)
        if self.candidates is not None:
            self.candidates.flush()

    def same_key(
        self,
        rows: Sequence[Labels],
        places: Sequence[int],
        searches: Mapping[int, Search],
        phrases: tuple[str, ...],
    ) -> Iterator[tuple[int, ImageAnswers | Exception]]:
        """Yield the same for images of one batch key."""
        size, threads = self.plan.recipe.batch_size, self.plan.execution.num_workers
        failed: list[tuple[int, Exception]] = []

        def asked() -> Iterator[list[ImageToSearch]]:
            loaded = prefetch(lambda place: (place, self.load(rows[place])), places, threads=threads, ahead=2 * size)
            for batch in batches(loaded, size):
                failed.extend((place, item) for place, item in batch if isinstance(item, Exception))
                yield [
                    ImageToSearch(place, searches[place].prompt, rows[place].image.size, item, searches[place])
                    for place, item in batch
                    if not isinstance(item, Exception)
                ]

        for place, outcome in searched(self.detector, asked(), self.annealing, batch_size=size):
            yield place, outcome if isinstance(outcome, Exception) else _answers_of(outcome, phrases)
        yield from failed

    def search(self, row: Labels, phrases: tuple[str, ...]) -> Search:
        """Return the search of an image, with its cached candidates."""
        content = content_of(row) if self.candidates is not None else ""
        memory = (
            ImageMemory(self.candidates, content, row.image.size, self.annealing.floor)
            if self.candidates is not None and content
            else None
        )
        return Search(Prompt(phrases), row.image.size, self.annealing, memory=memory)

    def load(self, row: Labels) -> object:
        """Decode and preprocess an image; returns an error in place of the result."""
        recipe = self.plan.recipe
        try:
            pixels = read_row(row, max_pixels=recipe.max_pixels, value_range=recipe.value_range)
            return preprocess(self.detector, row, pixels)
        except (MachineError, WorkerError):
            raise  # not caused by this image
        except Exception as error:
            return error

    def key(self, row: Labels) -> tuple[int, ...]:
        """Return the batch key of an image."""
        return self.detector.batch_key(row.image.size)


def _answers_of(search: Search, phrases: tuple[str, ...]) -> ImageAnswers:
    """Return the answers of a finished search."""
    return ImageAnswers(phrases, {question.look: found.found for question, found in search.answers.items()})
