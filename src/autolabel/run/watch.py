"""Who looks on while a plan runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from autolabel.plan.model import Plan, Stage
from autolabel.run.work import Done


class Watch:
    """Told of a run's progress; this one says nothing. Subclass to show it."""

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        """A stage of ``rows`` rows starts with ``left`` of them still to label."""

    def row(self, done: Done) -> None:
        """A row is labelled; told once, though its shard may still be lost and labelled again."""

    def stage_finished(self, stage: Stage) -> None:
        """Every shard of a stage is on disk."""

    def writing(self, name: str) -> None:
        """A file or export is being written."""


class Once:
    """Tells of each row of a stage once, however often its shard is begun."""

    def __init__(self, tell: Callable[[Done], None]) -> None:
        self.tell = tell
        self.told: defaultdict[int, int] = defaultdict(int)
        """The rows of a shard, a bit each."""

    def __call__(self, done: Done) -> None:
        """Tell of a row unless that is done."""
        bit = 1 << done.row
        if not self.told[done.shard] & bit:
            self.told[done.shard] |= bit
            self.tell(done)
