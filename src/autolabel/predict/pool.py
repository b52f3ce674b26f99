"""Threads that label queued images, one per device; images in the queue share batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from autolabel.executors.tuning import torch_threads
from autolabel.predict.engine import Engine, WaitingImage


class ImagePool:
    """A first-in, first-out queue of images, for any number of threads."""

    def __init__(self, engines: Sequence[Engine], *, threads: int, most: int) -> None:
        """Start one thread per engine, with ``threads`` torch threads, taking up to ``most`` images at a time."""
        self._torch = threads
        self._most = most
        self._waiting: deque[WaitingImage] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(engine,), name=f"predict-{number}", daemon=True)
            for number, engine in enumerate(engines)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """The number of queued images."""
        return len(self._waiting)

    def submit(self, job: WaitingImage) -> None:
        """Queue an image; raises ValueError if the pool is closed."""
        with self._changed:
            if self._closed:
                raise ValueError("the predictor is closed")
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Refuse further images, label the queued ones, end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, engine: Engine) -> None:
        while jobs := self._take():
            try:
                with torch_threads(self._torch):
                    engine.label(jobs)
            except BaseException as error:
                for job in jobs:
                    if not job.answer.done():
                        job.answer.set_exception(error)
            del jobs

    def _take(self) -> list[WaitingImage]:
        """Return queued images that were not cancelled, an equal share per free thread; empty when closed."""
        taken: list[WaitingImage] = []
        with self._changed:
            self._idle += 1
            while not taken:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    break
                share = -(-len(self._waiting) // self._idle)
                first = [self._waiting.popleft() for _ in range(min(self._most, share))]
                taken = [job for job in first if job.answer.set_running_or_notify_cancel()]
            self._idle -= 1
        return taken
