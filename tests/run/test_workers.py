"""Workers that die, raise, run out of memory or are told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from autolabel.plan.compile import compile_plan
from autolabel.registry import discover
from autolabel.results.ledger import read_labels
from autolabel.results.summary import Summary
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec


def spec(folder: Path, names: list[str], **run: Any) -> dict[str, Any]:
    from autolabel_colors import Rectangle, save

    (folder / "photos").mkdir(exist_ok=True)
    for name in names:
        save(folder / "photos" / f"{name}.png", [Rectangle(1, 1, 5, 5, "red")])
    return make_spec(
        folder / "photos",
        folder / "run",
        stages=[{"labeler": {"type": "hazard", **run.pop("labeler", {})}}],
        run={"shard_size": 4, "batch_size": 2, "num_workers": 1, **run},
    )


def run(mapping: dict[str, Any]) -> Summary:
    registry = discover()
    loaded = spec_from_mapping(mapping, root=Path.cwd(), registry=registry)
    return generate(compile_plan(loaded, registry=registry), registry=registry)


def test_an_image_that_kills_its_worker_is_found_and_recorded(hazards_path: str, tmp_path: Path) -> None:
    names = [f"{index}" for index in range(9)] + ["3-poison"]
    summary = run(spec(tmp_path, names, executor="processes", workers_per_device=2))
    assert dict(summary.states) == {"labelled": 9, "failed": 1}
    [failed] = [row for row in read_labels(tmp_path / "run") if row.reason]
    assert failed.image.id == "3-poison.png"
    assert failed.reason is not None
    assert failed.reason.code == "worker_crash"
    assert "exit code 7" in failed.reason.message


def test_an_image_that_raises_is_recorded_with_the_error(hazards_path: str, tmp_path: Path) -> None:
    summary = run(spec(tmp_path, ["a", "b", "c-raise", "d"]))
    assert dict(summary.reasons) == {"labeler_error": 1}
    [failed] = [row for row in read_labels(tmp_path / "run") if row.reason]
    assert failed.reason is not None
    assert failed.reason.message == "ValueError: cannot look at this"


@pytest.mark.parametrize("fits", [1, 2, 3, 5])
def test_out_of_memory_halves_the_batch(hazards_path: str, tmp_path: Path, fits: int) -> None:
    names = [f"{index}" for index in range(11)]
    summary = run(spec(tmp_path, names, batch_size=8, shard_size=16, labeler={"fits": fits}))
    assert dict(summary.states) == {"labelled": 11}


def test_a_batch_of_one_that_does_not_fit_is_recorded(hazards_path: str, tmp_path: Path) -> None:
    summary = run(spec(tmp_path, ["a", "b"], labeler={"fits": 0}))
    assert dict(summary.reasons) == {"out_of_memory": 2}
    assert summary.too_many_failures


@pytest.mark.parametrize(
    ("executor", "number", "code"),
    [
        ("inline", signal.SIGINT, 130),
        ("processes", signal.SIGTERM, 143),
        pytest.param("inline", signal.SIGTERM, 143, marks=pytest.mark.soak),
        pytest.param("processes", signal.SIGINT, 130, marks=pytest.mark.soak),
    ],
)
def test_a_signal_ends_the_run_soon_without_orphans_and_it_resumes(
    hazards_path: str,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    executor: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mapping = spec(tmp_path, [f"{index:03d}-slow" for index in range(300)], executor=executor)  # a minute of work
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(mapping))
    command = [sys.executable, "-m", "autolabel", "generate", "-e", str(path)]
    environment = {**os.environ, "PYTHONPATH": hazards_path}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(lambda: len(list((tmp_path / "run" / "stages").rglob("shard-*.jsonl"))) >= 1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code, errors
    assert "the same command resumes" in errors
    assert not psutil.wait_procs(children, timeout=60)[1]
    monkeypatch.setenv("AUTOLABEL_HAZARDS", "quick")
    assert run(mapping).states["labelled"] == 300


def test_workers_end_when_the_driver_is_killed(hazards_path: str, tmp_path: Path) -> None:
    names = [f"{index:03d}-slow" for index in range(1000)]  # 100 s of work: nobody comes to its end before the limit
    mapping = spec(tmp_path, names, executor="processes", workers_per_device=2)
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(mapping))
    environment = {**os.environ, "PYTHONPATH": hazards_path}
    process = subprocess.Popen([sys.executable, "-m", "autolabel", "generate", "-q", "-e", str(path)], env=environment)
    wait_for(lambda: len(list((tmp_path / "run" / "stages").rglob("shard-*.jsonl"))) >= 1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
