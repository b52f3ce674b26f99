"""All stages of a plan on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from autolabel.plan.model import Plan
from autolabel.predict.photo import Photo, PhotosAtHand
from autolabel.registry import Registry
from autolabel.results import record
from autolabel.run.stage_labeler import Progress, StageLabeler
from autolabel.types import Labels


@dataclass(slots=True, eq=False)
class WaitingImage:
    """An image that waits to be labelled."""

    row: Labels
    photo: Photo
    hand_out: Callable[[Labels], Labels]
    """Applied to the row before it is returned: thresholds, filters, calibration."""
    answer: Future[Labels] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class Engine:
    """The loaded labelers of a plan; for one thread at a time."""

    plan: Plan
    stages: Sequence[StageLabeler]

    @classmethod
    def load(cls, plan: Plan, *, device: str, registry: Registry) -> Engine:
        """Load the labelers of every stage on a device; raises MachineError or WeightsError if that fails."""
        make = StageLabeler.make
        stages = [make(plan, stage, device=device, registry=registry, read_only=True) for stage in plan.recipe.stages]
        for stage in stages:
            stage.wake()
        return cls(plan, stages)

    def label(self, jobs: Sequence[WaitingImage]) -> None:
        """Label images in batches, and resolve each as soon as it is done."""
        key_of = self.stages[0].labeler.batch_key
        jobs = sorted(jobs, key=lambda job: key_of(job.row.image.size))
        rows = [job.row for job in jobs]
        photos = PhotosAtHand([job.photo for job in jobs])
        answers = self._answering(jobs)
        for number, stage in enumerate(self.stages, 1):
            stage.photos = photos
            rows = stage.label(rows, progress=answers if number == len(self.stages) else _silent)
            if number < len(self.stages):
                rows = [self._as_written(row) for row in rows]
        for stage in self.stages:
            stage.photos = PhotosAtHand(())  # so that their pixels can be freed

    def _answering(self, jobs: Sequence[WaitingImage]) -> Progress:
        def answer(position: int, row: Labels, recalled: bool) -> None:
            job = jobs[position]
            job.answer.set_result(job.hand_out(self._as_written(row)))

        return answer

    def _as_written(self, row: Labels) -> Labels:
        """Return a row with numbers rounded as in a run's files."""
        return record.decode_labels(record.encode_labels(row, self.plan.digest), row.image.path)


def _silent(position: int, row: Labels, recalled: bool) -> None:
    """Ignore progress reports."""
