"""The server as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STARTS_WITHIN = 240


class Process:
    """``autolabel serve`` with some words, until the ``with`` ends."""

    def __init__(self, *words: str, log: Path, path: str = "", port: int = 0) -> None:
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "AUTOLABEL_TOKEN": ""}
        command = [sys.executable, "-m", "autolabel", "serve", *words, "--port", str(port)]
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        self.url = ""

    def __enter__(self) -> Self:
        for _ in range(STARTS_WITHIN * 10):
            assert self.process.poll() is None, self.said()
            if found := re.search(r"serving at (http://[^\s/]+)", self.said()):
                self.url = found[1]
                return self
            time.sleep(0.1)
        raise AssertionError(f"the server does not start: {self.said()}")

    def said(self) -> str:
        return self.log.read_text()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


def memory_of(process: Process) -> int:
    """Return the bytes that a process holds in memory."""
    import psutil

    found: Any = psutil.Process(process.process.pid).memory_info()
    return int(found.rss)
