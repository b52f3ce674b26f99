"""The loop of both trainings: steps, dev checks, saved states, the best weights, a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from autolabel_training.optimizer_step import OptimizerSettings
from autolabel_training.run_log import RunLog

_LOG_EVERY = 50
STATE_FILE = "state.pt"
_BEST_FILE = "best.pt"

_Batch = TypeVar("_Batch")


@dataclass
class Progress:
    """The progress of a training: finished steps, processor seconds, the best dev score and its step."""

    step: int = 0
    cpu_seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0


@dataclass(frozen=True)
class DevCheck:
    """The score that decides which weights are kept, and the figures for the log."""

    score: float
    figures: dict[str, Any]


class TrainedModel(Protocol[_Batch]):
    """The subject of a training loop. `state` and `load_state` hold everything that later steps depend on."""

    def batches(self, steps: range) -> Iterator[_Batch]:
        """Yield the batch of every step; a step's batch depends on the seed and the step alone."""

    def learn(self, batch: _Batch, step: int) -> dict[str, float]:
        """Do one step and return its figures for the log."""

    def check_dev(self) -> DevCheck | None:
        """Judge the averaged weights; None if there is nothing to judge by."""

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights, the ones that are kept."""

    def state(self) -> dict[str, Any]:
        """Return what a later run needs to go on."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a checkpoint directory with weights that `averaged` returned; the run cannot go on after it."""


class _LoopSettings(Protocol):
    """The fields of a recipe that the loop reads."""

    @property
    def optimiser(self) -> OptimizerSettings:
        """Steps and their batch."""

    @property
    def evaluate_every(self) -> int:
        """Steps from one dev check to the next."""

    @property
    def save_every_seconds(self) -> float:
        """Least time from one saved state to the next."""


class Loop(Generic[_Batch]):
    """Trains in a folder: continues from its saved state if there is one."""

    def __init__(self, model: TrainedModel[_Batch], recipe: _LoopSettings, folder: Path, log: RunLog) -> None:
        self._trainee, self._recipe, self._folder, self._log = model, recipe, folder, log
        self.progress = Progress()
        if (folder / STATE_FILE).exists():
            state = torch.load(folder / STATE_FILE, weights_only=True, map_location="cpu")
            self.progress = Progress(**state.pop("progress"))
            model.load_state(state)
            log.write(event="resumed", **asdict(self.progress))

    def run(self, *, check_start: bool = False) -> None:
        """Do the remaining steps, with dev checks and saved states on the way.

        With ``check_start`` the weights that training begins with are judged too, and kept where none are better.
        """
        if check_start and not self.progress.step:
            self._check_dev()
        recipe, steps = self._recipe, self._recipe.optimiser.steps
        clock = time.process_time() - self.progress.cpu_seconds
        saved = time.monotonic()
        for batch in self._trainee.batches(range(self.progress.step, steps)):
            parts = self._trainee.learn(batch, self.progress.step)
            self.progress.step += 1
            self.progress.cpu_seconds = time.process_time() - clock
            last = self.progress.step == steps
            if self.progress.step % _LOG_EVERY == 0 or last:
                self._log_step(parts)
            if self.progress.step % recipe.evaluate_every == 0 or last:
                self._check_dev()
            if time.monotonic() - saved > recipe.save_every_seconds or last:
                _save(self._trainee.state() | {"progress": asdict(self.progress)}, self._folder / STATE_FILE)
                saved = time.monotonic()

    def best_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights that were best on dev, or the last ones where there was nothing to judge by."""
        best = self._folder / _BEST_FILE
        if not best.exists():
            return self._trainee.averaged()
        kept: dict[str, Tensor] = torch.load(best, weights_only=True, map_location="cpu")
        return kept

    def _check_dev(self) -> None:
        started = time.process_time()
        check = self._trainee.check_dev()
        if check is None:
            return
        if check.score > self.progress.best:
            self.progress.best, self.progress.best_step = check.score, self.progress.step
            _save(self._trainee.averaged(), self._folder / _BEST_FILE)
        self._write("dev", seconds=round(time.process_time() - started, 1), **check.figures)

    def _log_step(self, parts: dict[str, float]) -> None:
        minutes = round(self.progress.cpu_seconds / 60, 2)
        self._write("step", cpu_minutes=minutes, **{name: round(value, 4) for name, value in parts.items()})

    def _write(self, event: str, **values: Any) -> None:
        step = self.progress.step
        self._log.write(event=event, step=step, samples=step * self._recipe.optimiser.batch, **values)


def train(model: TrainedModel[_Batch], recipe: _LoopSettings, folder: Path, log: RunLog) -> None:
    """Train in a folder, from its saved state on if there is one; export what was best to its folder `checkpoint`."""
    loop = Loop(model, recipe, folder, log)
    loop.run()
    model.export(loop.best_weights(), folder / "checkpoint")
    log.write(event="exported", **asdict(loop.progress))


def _save(content: Any, path: Path) -> None:
    """Write beside the target first, so that an interruption leaves the old file whole."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)
