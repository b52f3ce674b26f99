"""The commands that serve pages, and the browser that opens them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def launch() -> Iterator[Any]:
    """Yield Chromium, driven by playwright; skip the test where one of the two is missing."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Server:
    """A command of autolabel that serves a page, until it is stopped."""

    def __init__(self, *words: str, path: str) -> None:
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "autolabel", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", self.process.stdout.readline())
        assert found is not None
        self.address = found[0]

    def stop(self, how: int = signal.SIGINT) -> str:
        """Send the signal unless the process has ended, wait for its end, and return what it printed since."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.communicate(timeout=60)[0]
