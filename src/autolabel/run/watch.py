"""Who looks on while a plan runs."""

from __future__ import annotations

from autolabel.plan.model import Plan, Stage
from autolabel.run.work import Done


class Watch:
    """Told of a run's progress; this one says nothing. Subclass to show it."""

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        """A stage of ``rows`` rows starts with ``left`` of them still to label."""

    def row(self, done: Done) -> None:
        """A row is labelled; its shard may still be lost and labelled again."""

    def stage_finished(self, stage: Stage) -> None:
        """Every shard of a stage is on disk."""

    def writing(self, name: str) -> None:
        """A file or export is being written."""
