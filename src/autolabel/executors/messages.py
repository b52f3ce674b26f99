"""Messages from a worker to the driver."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from autolabel import os_errors
from autolabel.errors import AutolabelError, WorkerError


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has started and waits for a task."""


@dataclass(frozen=True, slots=True)
class Event:
    """A report sent while a task is running."""

    contents: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The task is done."""

    content: Any


@dataclass(frozen=True, slots=True)
class TaskError:
    """The task, or the start, raised an exception; the run ends."""

    error: AutolabelError


@dataclass(frozen=True, slots=True)
class Death:
    """The worker is gone."""

    cause: str


Message = Ready | Event | Result | TaskError | Death


def failure(error: BaseException, device: str) -> TaskError:
    """Return an error in a picklable form; an unexpected one with its traceback as text."""
    told = os_errors.expected(error) if isinstance(error, OSError) else error
    if isinstance(told, AutolabelError):
        return TaskError(told)
    trace = "".join(traceback.format_exception(error))
    return TaskError(WorkerError(f"a worker on {device} failed: {error}\n{trace}"))
