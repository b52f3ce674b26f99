"""Train for a number of steps, or for about a given time."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

from autolabel.strategies import FineTuning
from autolabel_training.figures import BEFORE, FIGURES, read_json, write_json
from autolabel_training.loop import DevCheck, Loop, TrainedModel
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

    def check(self, judged: list[dict[str, Any]]) -> DevCheck | None:
        """Return the score of such results, and its figures; None if they are empty."""

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
    steps, before = _begin(model, task)
    warmup = min(task.settings.warmup, max(1, steps // 10))
    model.settings = task.settings.model_copy(update={"steps": steps, "warmup": warmup})
    course = _Course(model.settings, evaluate_every=max(1, -(-steps // task.settings.checks)))
    log = RunLog(task.out, told=task.told)
    loop = Loop(model, course, task.out, log)
    log.write(event="course", steps=steps, train=len(task.train), dev=len(task.dev))
    loop.run(start=model.check(before))
    weights = loop.best_weights()
    if before:
        compared = model.compare(before, model.judged(weights))
        write_json(task.out / FIGURES, {"step": loop.progress.best_step, **compared})
    model.export(weights, task.out / "checkpoint")
    log.write(event="exported", best=loop.progress.best, best_step=loop.progress.best_step)


def _begin(model: TimedModel[_S], task: FineTuning[_S]) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of steps and the results of the initial weights; both are determined once and saved."""
    course, judged = task.out / _COURSE, task.out / BEFORE
    if course.exists() and judged.exists():
        return int(read_json(course)["steps"]), read_json(judged)
    started = time.monotonic()
    before = model.judged(model.averaged())
    check = time.monotonic() - started
    steps: int = task.settings.steps
    if task.settings.minutes is not None:
        pace = _pace(model)
        left = task.settings.minutes * 60 - (time.monotonic() - started) - (task.settings.checks + 1) * check
        steps = max(_FEWEST, int(left / pace))
    write_json(judged, before)
    write_json(course, {"steps": steps})
    return steps, before


def _pace(model: TimedModel[Any]) -> float:
    """Return the seconds that a step takes, drawing its views included; the steps taken to find out are undone."""
    begin = copy.deepcopy(model.state())
    spent: list[float] = []
    started = time.monotonic()
    for number, batch in enumerate(model.batches(range(_TRIED))):
        model.learn(batch, number)
        now = time.monotonic()
        spent.append(now - started)
        started = now
    model.load_state(begin)
    return min(spent)
