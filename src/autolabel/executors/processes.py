"""Run tasks in processes of this machine, one per worker."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.spawn import get_executable
from typing import Any

from autolabel.executors.driver import Worker, drive
from autolabel.executors.executor import Emit, Start
from autolabel.executors.messages import Death, Message
from autolabel.executors.process_worker import serve

_GRACE = 5.0
_BOOT = """
import signal, sys
from multiprocessing.connection import Connection
signal.signal(signal.SIGINT, signal.SIG_IGN)
pipe, driver = Connection(int(sys.argv[1])), Connection(int(sys.argv[2]), writable=False)
sys.path[:] = pipe.recv()
serve, *place = pipe.recv()
serve(pipe, driver, *place)
"""
"""What a worker process runs: its arguments are the handles of its ends of two pipes."""


@dataclass(slots=True, kw_only=True, eq=False)
class _ProcessWorker(Worker):
    """A process with the driver's ends of its pipes."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    alive: Connection
    """Closed by the system when the driver ends, however it ends."""


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
            try:
                worker.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.alive.close()


def _spawn(start: Start, device: str, threads: int) -> _ProcessWorker:
    """Start a worker: a process that knows nothing of the caller's main module, so a script needs no guard."""
    ours, theirs = Pipe()
    ends, alive = Pipe(duplex=False)
    handles = theirs.fileno(), ends.fileno()
    command = [get_executable(), "-P", "-c", _BOOT, *map(str, handles)]
    with theirs, ends:
        process = subprocess.Popen(command, pass_fds=handles, stdin=subprocess.DEVNULL)
    _send(ours, sys.path)
    _send(ours, (serve, device, threads))
    _send(ours, start)  # by itself, because reading it imports numpy, for which threads are limited before
    return _ProcessWorker(device, process=process, pipe=ours, alive=alive)


def _send(pipe: Connection, message: Any) -> None:
    """Send to a worker; if it is dead, the next receive reports it."""
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(message)


def _receive(worker: _ProcessWorker) -> Message:
    """Return a worker's next message, or Death if the pipe is closed."""
    try:
        message: Message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return Death(f"worker on {worker.device} died (exit code {worker.process.wait()})")
    return message
