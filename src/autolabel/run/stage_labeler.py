"""Label rows with one stage's labeler, for workers and the predictor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from autolabel.data.batches import batches
from autolabel.data.prefetch import prefetch
from autolabel.endpoint import EndpointAccount
from autolabel.errors import AutolabelError, ImageError, MachineError, WorkerError
from autolabel.plan.model import Plan, Stage
from autolabel.registry import Registry
from autolabel.results.failpoints import reach
from autolabel.run.anneal import Annealing, ImageToSearch, Outcome, Search, anneal, bisect_on_error, out_of_memory
from autolabel.run.candidates import CandidateStore, ImageMemory
from autolabel.run.photos import PhotoFiles, Photos
from autolabel.run.refer import referred
from autolabel.run.stage import desk_of, has_work, make_annealing, make_labeler, preprocess
from autolabel.run.verify import verified
from autolabel.strategies import Detector, Labeler, Referrer, Segmenter, Verifier
from autolabel.types import Instances, Labels, Reason

_log = logging.getLogger(__name__)

Progress = Callable[[int, Labels, bool], None]
"""Called for every finished row: its position, its labels, whether it was fully cached."""

PIXELS_IN_FLIGHT = 150_000_000
"""The most pixels of images that a worker decodes ahead, or one image alone; a pixel takes up to about 10 bytes."""
_Loaded = tuple[int, Any]


@dataclass(slots=True, eq=False)
class StageLabeler:
    """A stage's labeler on one device; not thread-safe."""

    stage: Stage
    labeler: Labeler
    annealing: Annealing | None
    device: str
    batch_size: int
    num_workers: int
    """Threads that decode images."""
    photos: Photos
    """The source of the pixels of rows."""
    candidates: CandidateStore | None = None
    """The cached candidates; None without a cache."""
    loaded: bool = False
    recalled: set[int] = field(default_factory=set)
    """Which of the rows at hand were answered from what was kept."""

    @classmethod
    def make(
        cls, plan: Plan, stage: Stage, *, device: str, registry: Registry, read_only: bool = False
    ) -> StageLabeler:
        """Construct the strategies of a stage; weights are loaded on first use.

        With ``read_only``, cached candidates are used, but nothing is added to the caches.
        """
        recipe = plan.recipe
        return cls(
            stage,
            make_labeler(stage, registry, EndpointAccount() if read_only else desk_of(plan)),
            make_annealing(stage, recipe.ontology, registry),
            device,
            batch_size=recipe.batch_size,
            num_workers=plan.execution.num_workers,
            photos=PhotoFiles(max_pixels=recipe.max_pixels, value_range=recipe.value_range),
            candidates=CandidateStore.of(plan, stage, read_only=read_only),
        )

    def wake(self) -> None:
        """Load the labeler's weights if they are not loaded."""
        if not self.loaded:
            began = time.monotonic()
            self.labeler.load(self.device)
            self.loaded = True
            _log.info("%s is loaded on %s after %.1f s", self.stage.name, self.device, time.monotonic() - began)

    def label(self, rows: Sequence[Labels], *, progress: Progress) -> list[Labels]:
        """Return rows after this stage, in order."""
        done = list(rows)
        self.recalled.clear()
        usable = [position for position, row in enumerate(rows) if has_work(self.labeler, row)]
        for position, row in enumerate(rows):
            if not has_work(self.labeler, row):
                progress(position, row, False)
        for position, outcome in self.outcomes(rows, usable):
            done[position] = concluded(rows[position], outcome)
            progress(position, done[position], position in self.recalled)
            reach("row.labelled")
        if self.candidates is not None:
            self.candidates.flush()
        return done

    def outcomes(self, rows: Sequence[Labels], usable: Sequence[int]) -> Iterator[tuple[int, Outcome[Instances]]]:
        """Yield the outcome of every usable row, in order of completion; batches hold rows of one key."""
        for _, group in groupby(usable, key=lambda position: self.labeler.batch_key(rows[position].image.size)):
            yield from self.same_key(rows, list(group))

    def same_key(self, rows: Sequence[Labels], positions: Sequence[int]) -> Iterator[tuple[int, Outcome[Instances]]]:
        """Yield the outcome of rows with one batch key; fully cached rows are neither read nor run."""
        searches = dict(self.remembered(rows, positions))
        self.recalled.update(position for position, search in searches.items() if search.next_query() is None)
        for position in positions:
            if position in self.recalled:
                yield position, searches[position].result()
        yield from self.asking(rows, [one for one in positions if one not in self.recalled], searches)

    def remembered(self, rows: Sequence[Labels], positions: Sequence[int]) -> Iterator[tuple[int, Search]]:
        """Yield rows with a search on cached candidates; None if nothing is cached or the image cannot be read."""
        if self.candidates is None or self.annealing is None:
            return
        threads = self.num_workers
        hash_of = self.photos.content
        hashes = prefetch(lambda one: hash_of(one, rows[one]), positions, threads=threads, ahead=2 * threads)
        for position, content in zip(positions, hashes, strict=True):
            if content:
                yield position, self.search(rows[position], content)

    def search(self, row: Labels, content: str) -> Search:
        """Return the search of a row, with the cached candidates for its image content."""
        assert self.candidates is not None and self.annealing is not None
        memory = ImageMemory(self.candidates, content, row.image.size, self.annealing.floor)
        return Search(row.prompt, row.image.size, self.annealing, memory=memory)

    def asking(
        self, rows: Sequence[Labels], positions: Sequence[int], searches: Mapping[int, Search]
    ) -> Iterator[tuple[int, Outcome[Instances]]]:
        """Yield the outcome of rows that need the labeler."""
        if not positions:
            return
        self.wake()
        size, threads = self.batch_size, self.num_workers
        ahead = 2 * size + threads
        failed: list[tuple[int, Exception]] = []
        yield from self.answers(rows, positions, searches, failed, threads=threads, ahead=ahead)
        starved = [position for position, error in failed if isinstance(error, MemoryError)]
        yield from ((position, error) for position, error in failed if position not in starved)
        alone: list[tuple[int, Exception]] = []
        for position in starved:  # an image that did not fit in a batch may fit alone
            yield from self.answers(rows, [position], searches, alone, threads=1, ahead=1)
        yield from alone

    def answers(
        self,
        rows: Sequence[Labels],
        positions: Sequence[int],
        searches: Mapping[int, Search],
        failed: list[tuple[int, Exception]],
        *,
        threads: int,
        ahead: int,
    ) -> Iterator[tuple[int, Outcome[Instances]]]:
        """Yield the labeler's answers; rows that cannot be loaded are added to ``failed``."""
        size = self.batch_size
        loaded = self._loaded(rows, positions, threads=threads, ahead=ahead)
        loads = batches(_succeeded(loaded, failed), size)
        if isinstance(self.labeler, Detector):
            assert self.annealing is not None, "a detector's stage has rounds"
            asked = ([_ask(rows, one, item, searches.get(one)) for one, item in batch] for batch in loads)
            yield from anneal(self.labeler, asked, self.annealing, batch_size=size)
        elif isinstance(self.labeler, Referrer):
            for batch in loads:
                outcomes = referred(self.labeler, [item for _, item in batch])
                yield from zip((position for position, _ in batch), outcomes, strict=True)
        elif isinstance(self.labeler, Verifier):
            for batch in loads:
                outcomes = verified(self.labeler, [item for _, item in batch])
                yield from zip((position for position, _ in batch), outcomes, strict=True)
        else:
            assert isinstance(self.labeler, Segmenter)
            for batch in loads:
                segmented = bisect_on_error(self.labeler.segment, [item for _, item in batch])
                yield from zip((position for position, _ in batch), segmented, strict=True)

    def _loaded(
        self, rows: Sequence[Labels], positions: Sequence[int], *, threads: int, ahead: int
    ) -> Iterable[_Loaded]:
        """Yield rows with their images, read ahead in threads; a single row is read directly."""
        if len(positions) == 1:
            return [self.load_row(positions[0], rows[positions[0]])]
        return prefetch(
            lambda position: self.load_row(position, rows[position]),
            positions,
            threads=threads,
            ahead=ahead,
            weight=lambda position: rows[position].image.size[0] * rows[position].image.size[1],
            most=PIXELS_IN_FLIGHT,
        )

    def load_row(self, position: int, row: Labels) -> _Loaded:
        """Read and preprocess an image; returns an error in place of the result."""
        try:
            return position, preprocess(self.labeler, row, self.photos.pixels(position, row))
        except (MachineError, WorkerError):
            raise  # not caused by this image
        except Exception as error:
            return position, error


def _ask(rows: Sequence[Labels], position: int, item: Any, search: Search | None) -> ImageToSearch:
    """Return the annealing input of a loaded row."""
    return ImageToSearch(position, rows[position].prompt, rows[position].image.size, item, search)


def _succeeded(loaded: Iterable[_Loaded], failed: list[tuple[int, Exception]]) -> Iterator[_Loaded]:
    """Yield the loaded rows, and collect the failed ones."""
    for position, item in loaded:
        if isinstance(item, Exception):
            failed.append((position, item))
        else:
            yield position, item


def concluded(row: Labels, outcome: Outcome[Instances]) -> Labels:
    """Return a row with its outcome: instances, or the reason of failure."""
    if isinstance(outcome, Instances):
        kept, hollow = _without_hollow_masks(outcome)
        noted = (f"{hollow} mask{'s' * (hollow > 1)} without a pixel left out, the box kept",) if hollow else ()
        notes = (*row.notes, *kept.notes, *noted)
        return replace(row, instances=replace(kept, notes=()) if kept.notes else kept, notes=notes)
    reason = Reason(code=_code_of(outcome), message=_describe(outcome))
    _log.info("%s: %s: %s", row.image.id, reason.code, reason.message)
    if not isinstance(outcome, AutolabelError):
        _log.debug("where it was raised", exc_info=outcome)
    return replace(row, instances=Instances.empty(), reason=reason)


def _without_hollow_masks(found: Instances) -> tuple[Instances, int]:
    """Replace masks without pixels by None; return the instances and the number of replaced masks."""
    if not found.masks:
        return found, 0
    hollow = [mask is not None and mask.is_empty() for mask in found.masks]
    if not any(hollow):
        return found, 0
    masks = tuple(None if empty else mask for mask, empty in zip(found.masks, hollow, strict=True))
    return replace(found, masks=masks), sum(hollow)


def _code_of(error: Exception) -> str:
    """Return the ledger's reason code for an error."""
    if isinstance(error, ImageError):
        return error.code
    return "out_of_memory" if out_of_memory(error) else "labeler_error"


def _describe(error: Exception) -> str:
    """Return an error's message on one line."""
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, AutolabelError) else f"{type(error).__name__}: {text}"
