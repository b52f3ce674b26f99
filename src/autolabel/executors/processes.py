"""Run tasks in spawned processes of this machine, one a worker."""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from autolabel.errors import AutolabelError, WorkerError
from autolabel.executors.executor import ATTEMPTS, Crash, Emit, Start
from autolabel.executors.threads import limit_threads

log = logging.getLogger(__name__)

EVENT, RESULT, ERROR = "event", "result", "error"
GRACE = 5.0


@dataclass(slots=True, eq=False)
class Worker:
    """A process with the driver's end of its pipe and the task that it has in hand."""

    process: SpawnProcess
    pipe: Connection
    device: str
    task: Any = None
    busy: bool = False


class Processes:
    """A pool that hands the next task to whoever is free, and replaces workers that die."""

    def map(
        self, tasks: Sequence[Any], start: Start, *, devices: Sequence[str], threads: int, emit: Emit
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result or Crash) in order of completion."""
        todo = deque(tasks)
        deaths: Counter[Any] = Counter()
        workers = [spawn(start, device, threads) for device in devices[: len(tasks)]]
        try:
            while todo or any(worker.busy for worker in workers):
                for worker in workers:
                    if todo and not worker.busy:
                        give(worker, todo.popleft())
                ready = wait([worker.pipe for worker in workers if worker.busy])
                for worker in [worker for worker in workers if worker.pipe in ready]:
                    message = receive(worker)
                    if message is None:
                        yield from bury(worker, todo, deaths)
                        if todo:
                            workers[workers.index(worker)] = spawn(start, worker.device, threads)
                        else:
                            workers.remove(worker)
                    elif message[0] == EVENT:
                        emit(message[1])
                    elif message[0] == ERROR:
                        raise message[1]
                    else:
                        worker.busy = False
                        yield worker.task, message[1]
        finally:
            stop(workers)


def spawn(start: Start, device: str, threads: int) -> Worker:
    """Start a worker."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, start, device, threads), name=f"autolabel {device}")
    process.start()
    there.close()
    return Worker(process, here, device)


def give(worker: Worker, task: Any) -> None:
    """Hand a task over; a worker that is dead already is noticed when it is waited for."""
    worker.task, worker.busy = task, True
    try:
        worker.pipe.send(task)
    except (BrokenPipeError, ConnectionResetError):
        log.debug("worker %s died while idle", worker.process.name)


def receive(worker: Worker) -> tuple[str, Any] | None:
    """Return a worker's next message, None where it is dead."""
    try:
        message: tuple[str, Any] = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return None
    return message


def bury(worker: Worker, todo: deque[Any], deaths: Counter[Any]) -> Iterator[tuple[Any, Crash]]:
    """Put a dead worker's task back in front, or give it up when it has killed too many."""
    worker.process.join()
    worker.busy = False
    deaths[worker.task] += 1
    message = f"worker on {worker.device} died (exit code {worker.process.exitcode})"
    log.warning("%s; task %s, death %d of %d", message, worker.task, deaths[worker.task], ATTEMPTS)
    if deaths[worker.task] >= ATTEMPTS:
        yield worker.task, Crash(message)
    else:
        todo.appendleft(worker.task)


def stop(workers: Sequence[Worker]) -> None:
    """End all workers: idle ones see their pipe close, busy ones are killed."""
    for worker in workers:
        worker.pipe.close()
        if worker.busy:
            worker.process.kill()
    for worker in workers:
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def serve(pipe: Connection, start: Start, device: str, threads: int) -> None:
    """Be a worker: take tasks until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=die_with_parent, daemon=True).start()
    limit_threads(threads)
    try:
        work = start(device, lambda event: pipe.send((EVENT, event)))
        while True:
            pipe.send((RESULT, work(pipe.recv())))
    except EOFError:
        return
    except AutolabelError as error:
        pipe.send((ERROR, error))
    except Exception as error:
        pipe.send((ERROR, WorkerError(f"a worker on {device} failed: {error}\n{traceback.format_exc()}")))


def die_with_parent() -> None:
    """End this process when its parent is gone, however it went."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
