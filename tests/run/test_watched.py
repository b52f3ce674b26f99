"""The watch itself: it hears what it is there for."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.run.watched import MOST_MEMORY, ROOT, check, watched


def read_elsewhere(place: Path) -> None:
    with suppress(OSError):
        (Path.home() / ".netrc").read_bytes()


def write_elsewhere(place: Path) -> None:
    (ROOT / "tests" / "written-by-a-test").touch()
    (ROOT / "tests" / "written-by-a-test").unlink()


def connect(place: Path) -> None:
    with socket.socket() as made, suppress(OSError):
        made.connect(("127.0.0.1", 1))


def start(place: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def follow_a_link(place: Path) -> None:
    (place / "link").symlink_to("/root/.bashrc")
    with suppress(OSError):
        (place / "link").read_bytes()


@pytest.mark.parametrize("work", [read_elsewhere, write_elsewhere, connect, start, follow_a_link])
def test_what_leaves_the_folders_is_heard(tmp_path: Path, work: object) -> None:
    with watched(tmp_path) as seen:
        work(tmp_path)  # type: ignore[operator]
    with pytest.raises(AssertionError):
        check(seen, "it")


def test_what_stays_inside_is_not(tmp_path: Path) -> None:
    with watched(tmp_path) as seen:
        (tmp_path / "a").write_text("a")
        (tmp_path / "a").rename(tmp_path / "b")
        (ROOT / "README.md").read_bytes()
    check(seen, "it")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system does not tell")
def test_a_peak_is_that_of_the_block_alone(tmp_path: Path) -> None:
    with watched(tmp_path) as seen:
        assert np.ones(MOST_MEMORY // 8 + (1 << 20)).sum() > 0
    assert seen.memory > MOST_MEMORY
    with watched(tmp_path) as seen:
        pass
    assert seen.memory < MOST_MEMORY // 8
