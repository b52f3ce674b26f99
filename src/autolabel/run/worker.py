"""A worker: labels shards, reports rows, writes its log."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import autolabel
from autolabel.errors import MachineError
from autolabel.executors.executor import Emit
from autolabel.literal import LiteralFormatter
from autolabel.plan.model import Plan, Stage
from autolabel.registry import discover
from autolabel.results.store import LOGS, RunStore
from autolabel.run.shard import ShardLabeler
from autolabel.storage import at
from autolabel.types import Labels
from autolabel.types.labels import State

_log = logging.getLogger(__name__)

_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_Task = tuple[int, int | None]
"""(shard, None) labels and publishes a shard; (shard, row) labels one row of it and returns its line."""


class Done(NamedTuple):
    """A worker's message that the ``row``-th row of a shard is labelled; labels themselves stay on its machine."""

    shard: int
    row: int
    state: State
    boxes: int
    recalled: bool = False
    """Whether the row was answered from cached candidates."""


@dataclass(frozen=True, slots=True)
class StartStage:
    """Starts a worker on a stage of the plan in ``root``; picklable."""

    root: str
    stage: int
    logs: bool
    """Whether the worker is a process of its own, with a log of its own."""

    def __call__(self, device: str, emit: Emit) -> Any:
        """Construct the stage's labeler and return the function that labels a task.

        Weights are loaded first, so that a worker that runs out of memory dies without a task; with cached candidates
        they are loaded when a task needs them.
        """
        root = at(self.root)
        if self.logs and isinstance(root, Path):
            _keep_log(root)
        plan = plan_of(RunStore(root))
        worker = ShardLabeler.make(plan, plan.recipe.stages[self.stage], device=device, registry=discover())

        def work(task: _Task) -> bytes | None:
            index, only = task
            shard, began = plan.manifest.shards[index], time.monotonic()

            def tell(row: int, labels: Labels, recalled: bool) -> None:
                place = row if only is None else only
                emit(Done(index, place, labels.state, len(labels.instances), recalled))

            if only is not None:
                return worker.lines(worker.before(shard)[only : only + 1], progress=tell)[0]
            worker.label(shard, progress=tell)
            _log.info("shard %d: %d rows in %.1f s", index, shard.rows, time.monotonic() - began)
            return None

        return work


def plan_of(store: RunStore) -> Plan:
    """Read the plan; raises MachineError if it cannot be read here, or if the autolabel versions differ."""
    plan = store.read_plan()
    if plan is None:
        hint = "results_dir, images and weights must be on storage that all machines see"
        raise MachineError(f"{socket.gethostname()} sees no plan in {store.root}", hint=hint)
    if plan.autolabel != autolabel.__version__:
        message = f"{socket.gethostname()} has autolabel {autolabel.__version__}, the plan is of {plan.autolabel}"
        raise MachineError(message, hint="install the same version on all machines")
    return plan


def _keep_log(results_dir: Path) -> Path:
    """Write this worker's log to ``logs/HOST-PID.log``, and warnings also to stderr; return the file."""
    path = results_dir / LOGS / f"{socket.gethostname()}-{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    file = logging.StreamHandler(os.fdopen(handle, "a", encoding="utf-8"))
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    for handler in (file, terminal):
        handler.setFormatter(LiteralFormatter(_FORM if handler is file else None))
    for handler in (file, terminal):
        logging.getLogger().addHandler(handler)
    file.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("autolabel"))
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("autolabel").setLevel(logging.DEBUG)
    return path


class Watch:
    """Receives a run's progress and ignores it; subclass to show it."""

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        """A stage of ``rows`` rows starts with ``left`` of them still to label."""

    def row(self, done: Done) -> None:
        """A row is labelled; called once per row, although its shard may still be lost and labelled again."""

    def stage_finished(self, stage: Stage) -> None:
        """Every shard of a stage is on disk."""

    def writing(self, name: str) -> None:
        """A file or export is being written."""

    def noted(self, text: str) -> None:
        """A notice for the user."""


class Once:
    """Reports each row of a stage once, even if its shard is labelled again."""

    def __init__(self, tell: Callable[[Done], None]) -> None:
        self.tell = tell
        self.reported: defaultdict[int, int] = defaultdict(int)
        """The rows of a shard, a bit each."""

    def __call__(self, done: Done) -> None:
        """Report a row unless already reported."""
        bit = 1 << done.row
        if not self.reported[done.shard] & bit:
            self.reported[done.shard] |= bit
            self.tell(done)
