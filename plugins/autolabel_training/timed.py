"""Train for a number of steps, or for about a given time."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from autolabel.strategies import FineTuning
from autolabel_training.figures import BEFORE, FIGURES, read_judged, write_figures, write_judged
from autolabel_training.loop import Loop, TrainedModel
from autolabel_training.metric import ScoredHits
from autolabel_training.run_log import RunLog
from autolabel_training.settings import TrainingSettings

_COURSE = "course.json"
_TRIED = 3
"""Steps by which the pace is measured; they are undone."""
_FEWEST = 20
"""Steps that are taken however little time there is."""
_SAVE_EVERY = 60.0


class TimedModel(TrainedModel[Any], Protocol):
    """The interface of a model trained for a number of steps or a time."""

    settings: TrainingSettings

    def judge(self, weights: dict[str, Tensor]) -> list[dict[str, ScoredHits]]:
        """Return detections of weights on the dev images, by class, with the truth."""


@dataclass(frozen=True)
class _Course:
    """The settings that the loop reads."""

    optimiser: TrainingSettings
    evaluate_every: int
    save_every_seconds: float = _SAVE_EVERY


def train_in_time(model: TimedModel, task: FineTuning[TrainingSettings]) -> None:
    """Train, resuming from a saved state, and export the weights that were best on the dev images.

    The initial weights are among the candidates. The number of steps is decided once and saved.
    """
    task.out.mkdir(parents=True, exist_ok=True)
    steps = _steps(model, task)
    warmup = min(task.settings.warmup, max(1, steps // 10))
    model.settings = task.settings.model_copy(update={"steps": steps, "warmup": warmup})
    course = _Course(model.settings, evaluate_every=max(1, -(-steps // task.settings.checks)))
    log = RunLog(task.out, told=task.told)
    if task.dev and not (task.out / BEFORE).exists():
        write_judged(task.out / BEFORE, model.judge(model.averaged()))
    loop = Loop(model, course, task.out, log)
    log.write(event="course", steps=steps, train=len(task.train), dev=len(task.dev))
    loop.run(check_start=True)
    weights = loop.best_weights()
    if task.dev:
        write_figures(task.out / FIGURES, read_judged(task.out / BEFORE), model.judge(weights), step=loop.progress)
    model.export(weights, task.out / "checkpoint")
    log.write(event="exported", best=loop.progress.best, best_step=loop.progress.best_step)


def _steps(model: TimedModel, task: FineTuning[TrainingSettings]) -> int:
    """Return the number of steps: as set, or as many as fit the time at the pace of the first steps."""
    kept = task.out / _COURSE
    if kept.exists():
        return int(json.loads(kept.read_text())["steps"])
    steps = task.settings.steps
    if task.settings.minutes is not None:
        steps = _fitting(model, task.settings.minutes * 60, checks=task.settings.checks)
    _write(kept, {"steps": steps})
    return steps


def _fitting(model: TimedModel, seconds: float, *, checks: int) -> int:
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


def _write(path: Path, content: dict[str, int]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content) + "\n")
    partial.replace(path)
