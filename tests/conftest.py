"""What every test can use: the strategies, the free example package among them."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's library reads it when it is imported
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="autolabel-tests-")  # the key of seals, not this user's own

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

from autolabel.registry import Registry, discover
from tests import web
from tests.installed import installed, write_entry_point

atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

ROOT = Path(__file__).resolve().parents[1]
HAZARDS = Path(__file__).parent / "hazards"
EXAMPLE = ROOT / "docs" / "examples" / "autolabel-colors" / "src"

settings.register_profile("no deadline", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("no deadline")


class Calls:
    """Counts the calls made in a ``with``, Python's and C's: a measure of work that no busy machine changes."""

    def __init__(self) -> None:
        self.made = 0

    def __enter__(self) -> Calls:
        self.before = sys.getprofile()
        sys.setprofile(self.note)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(self.before)

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        self.made += event in ("call", "c_call")


@pytest.fixture
def calls() -> Calls:
    """A counter of calls."""
    return Calls()


@pytest.fixture(scope="session")
def example_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make the example package look installed, here and in processes started with this as PYTHONPATH."""
    folder = tmp_path_factory.mktemp("installed")
    write_entry_point(folder, "colors", "autolabel_colors", version="0.1.0")
    sys.path[:0] = [str(folder), str(EXAMPLE)]
    return os.pathsep.join([str(folder), str(EXAMPLE)])


@pytest.fixture(scope="session")
def registry(example_path: str) -> Registry:
    """The built-in strategies and those of the example package."""
    return discover()


@pytest.fixture(scope="session")
def draw_photos(example_path: str) -> Callable[[Path, int], Path]:
    """Fill a folder with photos of one red rectangle each, no two alike, and return it."""
    from autolabel_colors import Rectangle, save

    def draw(folder: Path, count: int) -> Path:
        for index in range(count):
            save(folder / f"{index:02d}.png", [Rectangle(index, 3, 20 + index, 20, "red", 0.9 - index / 20)])
        return folder

    return draw


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; tests that ask for it are skipped where it or playwright is missing."""
    yield from web.launch()


@pytest.fixture
def start_server(example_path: str) -> Iterator[Callable[..., web.Server]]:
    """Start ``autolabel WORDS``, a command that serves a page; whatever still runs after the test is killed."""
    started: list[web.Server] = []

    def start(*words: str) -> web.Server:
        started.append(web.Server(*words, path=example_path))
        return started[-1]

    yield start
    for server in started:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def hazards_path(example_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the hazardous package look installed, here and in processes started with this as PYTHONPATH."""
    with installed(tmp_path_factory.mktemp("hazards"), "hazards", "autolabel_hazards", source=HAZARDS) as paths:
        yield os.pathsep.join([paths, example_path])
