"""A worker process: runs what it is sent until its pipe closes."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from autolabel.executors.messages import Event, Message, Ready, Result, failure
from autolabel.executors.tuning import tune_process

_PAUSE = 0.5
"""Seconds that an event waits for others to be sent with it."""


def serve(pipe: Connection, driver: Connection, device: str, threads: int) -> None:
    """Start what the driver sends first, then run tasks until ``pipe`` closes; ``driver`` closes when it ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    messages = _Messages(pipe)
    threading.Thread(target=_watch, args=[messages, driver], daemon=True).start()
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


def _watch(messages: _Messages, driver: Connection) -> None:
    """Send waiting events now and then; end this process when the driver is gone."""
    while not wait([driver], _PAUSE):
        with suppress(OSError):  # the main loop ends when its pipe is closed
            messages.send()
    os._exit(1)
