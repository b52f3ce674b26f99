"""Progress of a run on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from autolabel.plan.model import Plan, Stage
from autolabel.run.worker import Done, Watch

_EVERY = 30.0


class Quiet(Watch):
    """Prints notes, and no progress."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def noted(self, text: str) -> None:
        """Print a note."""
        self.console.print(f"note: {text}", markup=False, soft_wrap=True)


class _ProgressCounts(Quiet):
    """Counts rows, boxes and failures of the current stage."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.states: Counter[str] = Counter()
        self.boxes = self.recalled = 0
        self.began = time.monotonic()

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        """Start counting anew."""
        self.states.clear()
        self.boxes = self.recalled = 0
        self.began = time.monotonic()

    def row(self, done: Done) -> None:
        """Count a row."""
        if not self.states:  # the rate counts from the first row, as loading the model takes time
            self.began = time.monotonic()
        self.states[done.state] += 1
        self.boxes += done.boxes
        self.recalled += done.recalled

    def counts_text(self) -> str:
        """Return the counts as text."""
        failed = self.states["failed"]
        kept = f", {self.recalled:,} rows from cached candidates" if self.recalled else ""
        return f"{self.boxes:,} boxes" + (f", {failed:,} failed" if failed else "") + kept

    @property
    def rate(self) -> float:
        """Rows per second of all workers together, measured from the first row; 0 before the second."""
        return (sum(self.states.values()) - 1) / max(time.monotonic() - self.began, 1e-3)


class Bars(_ProgressCounts):
    """One progress bar for each stage."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console)
        self.task: TaskID | None = None

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        """Add the stage's bar, advanced by the rows that earlier runs have labelled."""
        super().stage_started(plan, stage, rows=rows, left=left)
        self.task = self.progress.add_task(stage.name, total=rows, completed=rows - left, told="")

    def row(self, done: Done) -> None:
        """Advance the bar."""
        super().row(done)
        assert self.task is not None, "a stage starts before its rows"
        rate = f", {self.rate:.2f} a second" if self.rate else ""
        self.progress.update(self.task, advance=1, told=self.counts_text() + rate)


class Lines(_ProgressCounts):
    """One line when a stage starts, one when it ends, and one every half minute."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.name = ""
        self.total = self.done = 0
        self.last = time.monotonic()

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        """Print how many rows are left to label."""
        super().stage_started(plan, stage, rows=rows, left=left)
        self.name, self.total, self.done = stage.name, rows, rows - left
        self.last = time.monotonic()
        self.say(f"{left:,} of {rows:,} rows to label on {plan.execution.places}")

    def row(self, done: Done) -> None:
        """Print the progress every half minute."""
        super().row(done)
        self.done += 1
        if time.monotonic() - self.last > _EVERY:
            self.last = time.monotonic()
            progress = f"{self.done:,} of {self.total:,} rows, {self.counts_text()}"
            if rate := self.rate:
                progress += f", {rate:.2f} a second, about {(self.total - self.done) / rate:,.0f} s left"
            self.say(progress)

    def stage_finished(self, stage: Stage) -> None:
        """Print the counts of the stage."""
        self.say(f"done in {time.monotonic() - self.began:.1f} s, {self.counts_text()}")

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(f"{self.name}: {text}", markup=False, soft_wrap=True)
