"""The training loop: steps, dev checks, saved states, best weights, log."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from autolabel_training.figures import damaged
from autolabel_training.optimizer_step import OptimizerSettings
from autolabel_training.run_log import RunLog

_LOG_EVERY = 50
STATE_FILE = "state.pt"
_BEST_FILE = "best.pt"

_Batch = TypeVar("_Batch")


@dataclass
class _Progress:
    """The progress of a training: finished steps, CPU seconds, the best dev score and its step."""

    step: int = 0
    cpu_seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0


@dataclass(frozen=True)
class DevCheck:
    """The score that selects the best weights, and the figures for the log."""

    score: float
    figures: dict[str, Any]


class TrainedModel(Protocol[_Batch]):
    """The subject of a training loop. `state` and `load_state` hold everything that later steps depend on."""

    def batches(self, steps: range) -> Iterator[_Batch]:
        """Yield the batch of every step; a step's batch depends on the seed and the step alone."""

    def learn(self, batch: _Batch, step: int) -> dict[str, float]:
        """Do one step and return its figures for the log."""

    def check_dev(self) -> DevCheck | None:
        """Evaluate the averaged weights; None if there are no dev images."""

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights."""

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a checkpoint folder with weights that `averaged` returned; training cannot continue afterwards."""


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
        """Minimum time between two saved states."""


class Loop(Generic[_Batch]):
    """Trains in a folder: continues from its saved state if there is one."""

    def __init__(self, model: TrainedModel[_Batch], recipe: _LoopSettings, folder: Path, log: RunLog) -> None:
        self._trainee, self._recipe, self._folder, self._log = model, recipe, folder, log
        self.progress = _Progress()
        if (folder / STATE_FILE).exists():
            state = _load(folder / STATE_FILE)
            self.progress = _Progress(**state.pop("progress"))
            model.load_state(state)
            log.write(event="resumed", **asdict(self.progress))

    def run(self, *, start: DevCheck | None = None) -> None:
        """Do the remaining steps, with dev checks and saved states in between.

        ``start`` is the check of the initial weights, if they are to be kept unless later ones are better.
        """
        if start is not None and not self.progress.step:
            self._compare(start, seconds=0.0)
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
        """Return the averaged weights that were best on dev, or the last ones without dev images."""
        best = self._folder / _BEST_FILE
        if not best.exists():
            return self._trainee.averaged()
        kept: dict[str, Tensor] = _load(best)
        return kept

    def _check_dev(self) -> None:
        started = time.process_time()
        check = self._trainee.check_dev()
        if check is not None:
            self._compare(check, seconds=time.process_time() - started)

    def _compare(self, check: DevCheck, *, seconds: float) -> None:
        """Keep the weights if they are the best so far, and log their check."""
        if check.score > self.progress.best:
            self.progress.best, self.progress.best_step = check.score, self.progress.step
            _save(self._trainee.averaged(), self._folder / _BEST_FILE)
        self._write("dev", seconds=round(seconds, 1), **check.figures)

    def _log_step(self, parts: dict[str, float]) -> None:
        minutes = round(self.progress.cpu_seconds / 60, 2)
        self._write("step", cpu_minutes=minutes, **{name: round(value, 4) for name, value in parts.items()})

    def _write(self, event: str, **values: Any) -> None:
        step = self.progress.step
        self._log.write(event=event, step=step, samples=step * self._recipe.optimiser.batch, **values)


def train(model: TrainedModel[_Batch], recipe: _LoopSettings, folder: Path, log: RunLog) -> None:
    """Train in a folder, resuming from its saved state; export the best weights to its folder `checkpoint`."""
    loop = Loop(model, recipe, folder, log)
    loop.run()
    model.export(loop.best_weights(), folder / "checkpoint")
    log.write(event="exported", **asdict(loop.progress))


def _load(path: Path) -> dict[str, Any]:
    """Read what ``_save`` wrote; raises DataError if the file is damaged."""
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise damaged(path) from error
    return content


def _save(content: Any, path: Path) -> None:
    """Write to a temporary file first, so that an interruption leaves the old file intact."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)
