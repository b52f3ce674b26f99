"""Runs that start together, are told to stop, or have more or fewer workers."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from autolabel.errors import BusyError
from autolabel.plan.compile import compile_plan
from autolabel.plan.model import Stage
from autolabel.registry import Registry
from autolabel.results import lock
from autolabel.results.ledger import read_labels
from autolabel.results.store import RunStore
from autolabel.run.generate import generate
from autolabel.run.worker import Watch
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

IMAGES = 12
BUSY = 5


@pytest.fixture(scope="module")
def photos(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("photos")
    for index in range(IMAGES):
        size = (64, 64 + 8 * (index % 3))
        save(folder / f"{index:02d}.png", [Rectangle(index, 3, 20 + index, 20, "red", 0.9 - index / 20)], size=size)
    return folder


def mapping(photos: Path, out: Path, *, delay: float = 0, **run: Any) -> dict[str, Any]:
    return make_spec(
        photos,
        out,
        classes=["red", "blue"],
        stages=[{"labeler": {"type": "colors", "delay": delay}}],
        run={"shard_size": 3, "batch_size": 2, "num_workers": 1, **run},
        export=[{"type": "coco"}, {"type": "odvg"}, {"type": "yolo"}, {"type": "csv"}],
        report=False,
    )


def run(registry: Registry, spec: dict[str, Any]) -> None:
    loaded = spec_from_mapping(spec, root=Path.cwd(), registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry)


def fork(work: Callable[[], int]) -> int:
    """Start ``work`` in a child whose exit code is what it returns; return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return child


class Patient(Watch):
    """Keeps the winner from ending, and giving the directory free, before the loser has come to it."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def stage_finished(self, stage: Stage) -> None:
        while not list(self.out.parent.glob(f"{self.out.name}-*")):
            time.sleep(0.01)


def race(registry: Registry, photos: Path, out: Path) -> None:
    """Start two runs in one directory at once; exactly one wins, and the other names it."""
    spec = mapping(photos, out)
    compiled = compile_plan(spec_from_mapping(spec, root=photos, registry=registry), registry=registry)
    gate, opener = os.pipe()

    def work() -> int:
        os.close(opener)
        os.read(gate, 1)
        try:
            generate(compiled, registry=registry, watch=Patient(out))
        except BusyError as error:
            (out.parent / f"{out.name}-{os.getpid()}").write_text(str(error))
            return error.exit_code
        return 0

    children = [fork(work), fork(work)]
    os.close(opener)
    os.close(gate)
    codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert sorted(codes.values()) == [0, BUSY]
    [winner] = [child for child, code in codes.items() if not code]
    [loser] = [child for child, code in codes.items() if code]
    assert f"is in use by process {winner} on" in (out.parent / f"{out.name}-{loser}").read_text()
    assert len(list(read_labels(out))) == IMAGES


def test_of_two_runs_started_together_one_wins(registry: Registry, photos: Path, tmp_path: Path) -> None:
    for number in range(3):
        race(registry, photos, tmp_path / f"run{number}")


@pytest.mark.soak
def test_of_twenty_pairs_started_together_one_each_wins(registry: Registry, photos: Path, tmp_path: Path) -> None:
    for number in range(20):
        race(registry, photos, tmp_path / f"run{number}")


def test_a_lock_whose_holder_was_killed_is_taken_over(registry: Registry, photos: Path, tmp_path: Path) -> None:
    store, ready = RunStore(tmp_path / "run"), tmp_path / "ready"

    def work() -> int:
        with store.lock():
            ready.touch()
            time.sleep(60)
        return 0

    child = fork(work)
    while not ready.exists():
        time.sleep(0.01)
    with pytest.raises(BusyError, match=f"process {child} on"):
        run(registry, mapping(photos, tmp_path / "run"))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    run(registry, mapping(photos, tmp_path / "run"))
    assert f"process {os.getpid()} on" in (tmp_path / "run" / ".lock").read_text()


def test_who_only_looks_at_a_lock_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(tmp_path)
    assert lock.holder(tmp_path / ".lock") is None
    with store.lock():
        found = lock.holder(tmp_path / ".lock")
        assert found is not None and found.name.startswith(f"process {os.getpid()} on ")
    assert lock.holder(tmp_path / ".lock") is None
    monkeypatch.setattr(lock, "LOCK_RETRY_PAUSES", (0.01,) * 1000)
    with (tmp_path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with store.lock():
            assert lock.holder(tmp_path / ".lock") is not None


def test_the_command_line_exits_5_beside_another_run(example_path: str, photos: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(mapping(photos, tmp_path / "run")))
    with RunStore(tmp_path / "run").lock():
        done = start(spec, example_path)
        _, errors = done.communicate()
    assert done.returncode == BUSY
    assert f"is in use by process {os.getpid()} on" in errors


def start(spec: Path, path: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "autolabel", "generate", "-e", str(spec), *words],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def published(out: Path) -> dict[str, bytes]:
    names = ("labels.jsonl", "coco", "odvg", "yolo", "csv")
    files = (file for name in names for file in ([out / name] if (out / name).is_file() else (out / name).rglob("*")))
    return {str(file.relative_to(out)): file.read_bytes() for file in files if file.is_file()}


def test_bytes_do_not_depend_on_workers_or_on_hashes(
    registry: Registry, example_path: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", example_path)  # what spawned workers see
    run(registry, mapping(photos, tmp_path / "run"))
    expected = published(tmp_path / "run")
    assert len(expected) > IMAGES + 3
    for seed, workers in (("1", 1), ("2", 2), ("3", 4)):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        out = tmp_path / f"run{seed}"
        run(registry, mapping(photos, out, executor="processes", workers_per_device=workers))
        assert published(out) == expected, f"{workers} workers"
    spec = tmp_path / "spec.yaml"
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "C")
    spec.write_text(json.dumps(mapping(photos, tmp_path / "run4", num_workers=3)))
    process = start(spec, example_path)
    assert process.communicate()[1] and not process.returncode
    assert published(tmp_path / "run4") == expected, "another process, hash seed, time zone, locale"


def interrupted(
    photos: Path, path: str, out: Path, number: signal.Signals, *, seconds: float, executor: str, group: bool
) -> bool:
    """Send a signal some time after the start; return whether it came before the end. Nobody stays behind."""
    spec = out.with_suffix(".yaml")
    spec.write_text(json.dumps(mapping(photos, out, delay=0.1, executor=executor)))
    process = start(spec, path, "-q")
    time.sleep(seconds)
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    (os.killpg if group else os.kill)(process.pid, number) if process.poll() is None else None
    _, errors = process.communicate()
    assert not psutil.wait_procs(children, timeout=60)[1]
    bare = (-number,) if seconds < 1 or (out / "csv").exists() else ()  # Python itself was starting or ending
    assert process.returncode in (0, 128 + number, *bare), (process.returncode, errors)
    return process.returncode != 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fifty_signals_at_random_times(
    registry: Registry, example_path: str, photos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    draw, stopped = random.Random(int(number)), 0
    run(registry, mapping(photos, tmp_path / "whole", delay=0.1))
    for index in range(50):
        out = tmp_path / f"run{index}"
        executor = ("inline", "processes")[index % 2]
        stopped += interrupted(
            photos, example_path, out, number, seconds=draw.uniform(0.1, 4), executor=executor, group=index % 4 > 1
        )
        run(registry, mapping(photos, out, delay=0.1, executor="inline"))
        assert published(out) == published(tmp_path / "whole")
    assert stopped >= 25
