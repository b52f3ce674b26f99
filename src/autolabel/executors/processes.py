"""Run tasks in spawned processes of this machine, one per worker."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Any

from autolabel.executors.driver import Worker, drive
from autolabel.executors.executor import Emit, Start
from autolabel.executors.messages import Death, Event, Message, Ready, Result, failure
from autolabel.executors.tuning import tune_process

_GRACE = 5.0
_PAUSE = 0.5
"""Seconds that an event waits for others to be sent with it."""


@dataclass(slots=True, kw_only=True, eq=False)
class _ProcessWorker(Worker):
    """A process with the driver's end of its pipe."""

    process: SpawnProcess
    pipe: Connection


@dataclass(frozen=True, slots=True)
class Processes:
    """One process per listed device; a device that is listed twice gets two."""

    devices: Sequence[str]
    threads: int

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result or Crash) in order of completion."""
        return drive(_Spawned(self.devices, self.threads, start), tasks, emit=emit)


@dataclass(frozen=True, slots=True)
class _Spawned:
    """Processes of this machine and the pipes to them."""

    devices: Sequence[str]
    threads: int
    starter: Start

    def start(self, running: Sequence[_ProcessWorker], wanted: int) -> Sequence[_ProcessWorker]:
        """Start a process on every device that lacks one."""
        lacking = Counter(self.devices)
        lacking.subtract(worker.device for worker in running)
        return [_spawn(self.starter, device, self.threads) for device in [*lacking.elements()][:wanted]]

    def send(self, worker: _ProcessWorker, task: Any) -> None:
        """Send a task."""
        _send(worker.pipe, task)

    def poll(self, workers: Sequence[_ProcessWorker]) -> Sequence[tuple[_ProcessWorker, Message]]:
        """Wait for the next message."""
        ready = wait([worker.pipe for worker in workers])
        return [(worker, _receive(worker)) for worker in workers if worker.pipe in ready]

    def stop(self, workers: Sequence[_ProcessWorker]) -> None:
        """End all processes: waiting ones see their pipe close, the others are killed."""
        for worker in workers:
            worker.pipe.close()
            if worker.busy or not worker.ready:
                worker.process.kill()
        for worker in workers:
            worker.process.join(_GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _spawn(start: Start, device: str, threads: int) -> _ProcessWorker:
    """Start a worker."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, device, threads), name=f"autolabel {device}")
    with _hidden_main():
        process.start()
    theirs.close()
    _send(ours, start)  # not as process arguments: unpickling them would import numpy before threads are limited
    return _ProcessWorker(device, process=process, pipe=ours)


_HIDING = threading.Lock()


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the main module, which a spawned process would import: a script without a guard would start over there."""
    with _HIDING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _send(pipe: Connection, message: Any) -> None:
    """Send to a worker; if it is dead, the next receive reports it."""
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(message)


def _receive(worker: _ProcessWorker) -> Message:
    """Return a worker's next message, or Death if the pipe is closed."""
    try:
        message: Message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        return Death(f"worker on {worker.device} died (exit code {worker.process.exitcode})")
    return message


def _serve(pipe: Connection, device: str, threads: int) -> None:
    """Main loop of a worker: start, then run tasks until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    messages = _Messages(pipe)
    threading.Thread(target=_watch, args=[messages], daemon=True).start()
    tune_process(threads)
    try:
        work = pipe.recv()(device, messages.events.append)
        messages.send(Ready())
        while True:
            messages.send(Result(work(pipe.recv())))
    except EOFError:
        return
    except Exception as error:
        messages.send(failure(error, device))


class _Messages:
    """Messages to the driver; events wait for a moment, because a message for each costs more than a quick row."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.events: deque[Any] = deque()
        self.sending = threading.Lock()

    def send(self, *messages: Message) -> None:
        """Send the events so far, then messages."""
        with self.sending:
            if self.events:
                self.pipe.send(Event(tuple(self.events.popleft() for _ in range(len(self.events)))))
            for message in messages:
                self.pipe.send(message)


def _watch(messages: _Messages) -> None:
    """Send waiting events now and then; end this process when its parent is gone."""
    parent = parent_process()
    assert parent is not None
    while not wait([parent.sentinel], _PAUSE):
        with suppress(OSError):  # the main loop ends when its pipe is closed
            messages.send()
    os._exit(1)
