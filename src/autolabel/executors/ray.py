"""Run tasks in actors on a Ray cluster, whose machines may come and go."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from autolabel.errors import MachineError
from autolabel.executors.driver import Worker, drive
from autolabel.executors.executor import Emit, Start, Work
from autolabel.executors.messages import Death, Event, Message, Ready, Result, failure
from autolabel.executors.tuning import tune_process
from autolabel.plan.model import Cluster

_log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds without messages after which the driver checks for free resources."""
_PAUSE = 0.5
"""Seconds between progress messages of an actor."""
_STARVED_AFTER = 60.0
"""Seconds without any worker after which the driver says that the cluster has no room."""
_REACH_SECONDS = 10.0
"""Seconds to wait for a cluster's head to answer."""
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass(slots=True, kw_only=True, eq=False)
class _ActorWorker(Worker):
    """An actor, and the message stream of its current call."""

    actor: Any
    stream: Any


@dataclass(frozen=True, slots=True)
class Ray:
    """Actors, each with the CPUs and GPUs of the plan."""

    cluster: Cluster
    threads: int

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result or Crash) in order of completion. Raises MachineError if there is no cluster."""
        if not tasks:
            return
        with _connected(self.cluster.address) as ray:
            yield from drive(_Actors(ray, self.cluster, self.threads, start), tasks, emit=emit)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield Ray connected to a cluster, the process's own if it is already connected."""
    with _environment(_SETTINGS), _joined(address) as ray:
        yield ray


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set unset environment variables while the block runs."""
    new = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    """Yield Ray, connected to the cluster at an address unless the process is in one."""
    try:
        import ray
    except ImportError:
        raise MachineError("Ray is not installed", hint="pip install 'autolabel-vision[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    with _kept_signals():
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (OSError, ray.exceptions.RayError) as error:
            hint = "start one with `ray start --head`, or say run.ray.address=local"
            raise MachineError(f"no Ray cluster at {address!r}: {_brief(error)}", hint=hint) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at ``host:port``; Ray itself would retry for minutes."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Restore the SIGTERM handler, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@dataclass(slots=True)
class _Actors:
    """The actors on the current machines of the cluster."""

    ray: Any
    cluster: Cluster
    threads: int
    starter: Start
    num_gpus: float = field(init=False)
    kind: Any = field(init=False)
    job: str = field(init=False)
    room: int = 0
    looked: float = float("-inf")
    heard: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.num_gpus = self.cluster.num_gpus
        self.job = self.ray.get_runtime_context().get_job_id()
        if self.cluster.fall_back and not self.ray.cluster_resources().get("GPU"):
            _log.warning("devices: auto finds no GPU in the Ray cluster and uses CPUs")
            self.num_gpus = 0.0
        asked = {"num_cpus": self.cluster.num_cpus, "num_gpus": self.num_gpus}
        self.kind = self.ray.remote(**asked, max_restarts=0)(_Actor)

    def start(self, running: Sequence[_ActorWorker], wanted: int) -> Sequence[_ActorWorker]:
        """Request as many actors as fit now; Ray places them. Raises MachineError if the process left the cluster."""
        if not self.connected():
            raise MachineError("this process left the Ray cluster during the run", hint="run it again: it resumes")
        if wanted and time.monotonic() - self.looked > _PATIENCE:
            self.room, self.looked = self.cluster.workers or self.places(), time.monotonic()
        return [self.actor() for _ in range(min(wanted, self.room - len(running)))]

    def connected(self) -> bool:
        """Say whether the process is still connected as the job that the actors belong to.

        Otherwise Ray's functions would join a cluster anew, and killing an actor of another job aborts the process.
        """
        return bool(self.ray.is_initialized() and self.ray.get_runtime_context().get_job_id() == self.job)

    def places(self) -> int:
        """Return how many workers fit on the live machines; at least one, so that a cluster can autoscale."""
        asked = {"CPU": self.cluster.num_cpus, "GPU": self.num_gpus}
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return max(1, sum(_fitting(node, asked) for node in nodes))

    def actor(self) -> _ActorWorker:
        """Request an actor, and start it."""
        device = "cuda:0" if self.num_gpus else "cpu"  # an actor only sees its own GPUs
        actor = self.kind.remote(device, self.threads)
        return _ActorWorker(
            device, actor=actor, stream=actor.begin.options(num_returns="streaming").remote(self.starter)
        )

    def send(self, worker: _ActorWorker, task: Any) -> None:
        """Call the actor; its messages arrive in the call's stream."""
        worker.stream = worker.actor.take.options(num_returns="streaming").remote(task)

    def poll(self, workers: Sequence[_ActorWorker]) -> Sequence[tuple[_ActorWorker, Message]]:
        """Wait for the next message of any actor in a call."""
        streams = {worker.stream: worker for worker in workers if worker.busy or not worker.ready}
        ready, _ = self.ray.wait(list(streams), timeout=_PATIENCE)
        self.warn_if_starved(workers)
        return [(streams[stream], self.next(streams[stream])) for stream in ready]

    def next(self, worker: _ActorWorker) -> Message:
        """Return an actor's next message, or Death if it is gone."""
        try:
            message: Message = self.ray.get(next(worker.stream))
        except self.ray.exceptions.RayError as error:
            _log.info("%s", error)
            return Death(f"worker on {worker.device} died")
        return message

    def warn_if_starved(self, workers: Sequence[_ActorWorker]) -> None:
        """Warn from time to time if no worker could be placed."""
        if any(worker.ready for worker in workers):
            self.heard = time.monotonic()
        elif time.monotonic() - self.heard > _STARVED_AFTER:
            self.heard = time.monotonic()
            asked = f"{self.cluster.num_cpus:g} CPUs and {self.num_gpus:g} GPUs"
            _log.warning(
                "no worker has started for %d s: a worker needs %s from the Ray cluster", _STARVED_AFTER, asked
            )

    def stop(self, workers: Sequence[_ActorWorker]) -> None:
        """Kill all actors; Ray has done so if the process left the cluster."""
        for worker in workers if self.connected() else ():
            self.ray.kill(worker.actor)


class _Actor:
    """A worker on the cluster; its calls return streams of messages, the last of which is the outcome."""

    def __init__(self, device: str, threads: int) -> None:
        tune_process(threads)
        self.device = device
        self.events: SimpleQueue[Any] = SimpleQueue()
        self.thread = ThreadPoolExecutor(1)
        self.work: Work | None = None

    def begin(self, start: Start) -> Iterator[Message]:
        """Start; end with Ready."""

        def begun() -> Message:
            self.work = start(self.device, self.events.put)
            return Ready()

        yield from self.said(begun)

    def take(self, task: Any) -> Iterator[Message]:
        """Work on a task; end with its Result."""
        assert self.work is not None, "an actor begins before it takes tasks"
        work = self.work
        yield from self.said(lambda: Result(work(task)))

    def said(self, call: Callable[[], Message]) -> Iterator[Message]:
        """Yield the messages emitted while a call runs, then its return value."""
        running = self.thread.submit(call)
        while not running.done():
            wait([running], timeout=_PAUSE)
            if not self.events.empty():
                yield Event(tuple(self.events.get() for _ in range(self.events.qsize())))
        error = running.exception()
        yield running.result() if error is None else failure(error, self.device)


def _fitting(available: dict[str, float], asked: dict[str, float]) -> int:
    """Return how many times the requested resources fit into the available ones."""
    return min((int(available.get(name, 0.0) / amount + 1e-6) for name, amount in asked.items() if amount), default=1)


def _brief(error: Exception) -> str:
    """Return the first line of an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
