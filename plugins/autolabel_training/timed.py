"""Train for a number of steps, or for about a given time."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

from autolabel.strategies import FineTuning
from autolabel_training.figures import BEFORE, FIGURES, write_json
from autolabel_training.loop import Loop, TrainedModel
from autolabel_training.run_log import RunLog
from autolabel_training.settings import CourseSettings

_S = TypeVar("_S", bound=CourseSettings)
_COURSE = "course.json"
_TRIED = 3
"""Steps by which the pace is measured; they are undone."""
_FEWEST = 20
"""Steps that are taken however little time there is."""
_SAVE_EVERY = 60.0


class TimedModel(TrainedModel[Any], Protocol[_S]):
    """The interface of a model trained for a number of steps or a time."""

    settings: _S

    def judged(self, weights: dict[str, Tensor]) -> list[dict[str, Any]]:
        """Return the results of weights on each dev image, JSON-serialisable; empty without ground truth."""

    def compare(self, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the figures of two such lists and the gain, with intervals."""


@dataclass(frozen=True)
class _Course:
    """The settings that the loop reads."""

    optimiser: CourseSettings
    evaluate_every: int
    save_every_seconds: float = _SAVE_EVERY


def train_in_time(model: TimedModel[_S], task: FineTuning[_S]) -> None:
    """Train, resuming from a saved state, and export the weights that were best on the dev images.

    The initial weights are among the candidates. The number of steps is decided once and saved.
    """
    task.out.mkdir(parents=True, exist_ok=True)
    steps = _steps(model, task)
    warmup = min(task.settings.warmup, max(1, steps // 10))
    model.settings = task.settings.model_copy(update={"steps": steps, "warmup": warmup})
    course = _Course(model.settings, evaluate_every=max(1, -(-steps // task.settings.checks)))
    log = RunLog(task.out, told=task.told)
    if not (task.out / BEFORE).exists():
        write_json(task.out / BEFORE, model.judged(model.averaged()))
    loop = Loop(model, course, task.out, log)
    log.write(event="course", steps=steps, train=len(task.train), dev=len(task.dev))
    loop.run(check_start=True)
    weights = loop.best_weights()
    if before := json.loads((task.out / BEFORE).read_text()):
        compared = model.compare(before, model.judged(weights))
        write_json(task.out / FIGURES, {"step": loop.progress.best_step, **compared})
    model.export(weights, task.out / "checkpoint")
    log.write(event="exported", best=loop.progress.best, best_step=loop.progress.best_step)


def _steps(model: TimedModel[_S], task: FineTuning[_S]) -> int:
    """Return the number of steps: as set, or as many as fit the time at the pace of the first steps."""
    kept = task.out / _COURSE
    if kept.exists():
        return int(json.loads(kept.read_text())["steps"])
    steps: int = task.settings.steps
    if task.settings.minutes is not None:
        steps = _fitting(model, task.settings.minutes * 60, checks=task.settings.checks)
    write_json(kept, {"steps": steps})
    return steps


def _fitting(model: TimedModel[Any], seconds: float, *, checks: int) -> int:
    begin = copy.deepcopy(model.state())
    started = time.monotonic()
    model.check_dev()
    check = time.monotonic() - started
    spent: list[float] = []
    for number, batch in enumerate(model.batches(range(_TRIED))):
        started = time.monotonic()
        model.learn(batch, number)
        spent.append(time.monotonic() - started)
    model.load_state(begin)
    left = seconds - (checks + 2) * check - sum(spent)
    return max(_FEWEST, int(left / min(spent)))
