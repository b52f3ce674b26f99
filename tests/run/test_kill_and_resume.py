"""Runs that are killed, interrupted or out of disk, then resumed: the bytes are those of an undisturbed run."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import BusyError, MachineError
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results import failpoints, store
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

FAILPOINTS = [
    "lock.taken",
    "inputs.written",
    "inputs.synced",
    "inputs.renamed",
    "plan.written",
    "plan.synced",
    "plan.renamed",
    "seal.written",
    "seal.synced",
    "seal.renamed",
    "row.labelled",
    "shard.written",
    "shard.synced",
    "shard.renamed",
    "outputs.written",
    "outputs.synced",
    "outputs.renamed",
    "ledger.written",
    "ledger.synced",
    "ledger.renamed",
    "checksum.written",
    "checksum.synced",
    "checksum.renamed",
    "export.synced",
    "export.swapped",
    "export.renamed",
    "pictures.synced",
    "pictures.swapped",
    "pictures.renamed",
    "report.synced",
    "report.swapped",
    "report.renamed",
]
SEEN = ("pictures", "report")
IMAGES = 12


@pytest.fixture(scope="module")
def photos(draw_photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = draw_photos(tmp_path_factory.mktemp("photos"), IMAGES)
    return folder


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    failpoints.arm("")


def compiled(registry: Registry, photos: Path, out: Path, *, seen: bool = False, **run: Any) -> Compiled:
    spec = make_spec(
        photos,
        out,
        classes=["red", "blue"],
        stages=[{"labeler": {"type": "colors"}, "scheduler": {"type": "step", "rounds": 2, "start": 0.6, "end": 0.2}}],
        run={"shard_size": 3, "batch_size": 2, "num_workers": 1, **run},
        export=[{"type": "coco"}, {"type": "odvg"}, {"type": "csv"}],
        report=seen,
        visualize=seen,
    )
    return compile_plan(spec_from_mapping(spec, root=photos, registry=registry), registry=registry)


def published(out: Path) -> dict[str, bytes]:
    """Return the bytes of everything a user sees."""
    names = ("labels.jsonl", "coco", "odvg", "csv")
    files = (file for name in names for file in ([out / name] if (out / name).is_file() else (out / name).rglob("*")))
    return {str(file.relative_to(out)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def expected(registry: Registry, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    generate(compiled(registry, photos, out), registry=registry)
    found = published(out)
    assert len(found) >= 5
    return found


def leftovers(out: Path) -> list[str]:
    return [path.name for path in out.rglob(f"*{store.TEMPORARY}")]


def in_child(work: Callable[[], None]) -> int:
    """Do ``work`` in a child process, and return its wait status; it leaves no trace in this process."""
    return os.waitpid(child_of(work), 0)[1]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", FAILPOINTS)
def test_a_kill_at_any_failpoint_is_resumed_to_the_same_bytes(
    registry: Registry, photos: Path, expected: dict[str, bytes], tmp_path: Path, name: str, count: int
) -> None:
    plan = compiled(registry, photos, tmp_path / "run", seen=name.startswith(SEEN))
    if name.endswith(".swapped"):  # a folder is only swapped where there is an older one
        generate(plan, registry=registry)

    def work() -> None:
        failpoints.arm(f"{name}:kill:{count}")
        generate(plan, registry=registry)

    status = in_child(work)
    once = name.split(".")[0] in ("lock", "inputs", "plan", "seal", "ledger", "checksum", *SEEN)
    assert os.WIFSIGNALED(status) or (once and count == 2), "the failpoint was never reached"
    generate(plan, registry=registry)
    assert published(tmp_path / "run") == expected
    assert leftovers(tmp_path / "run") == []


def test_every_failpoint_is_named_here() -> None:
    sources = "".join(path.read_text() for path in Path(store.__file__).parent.glob("*.py"))
    files = {f"{name}.renamed" for name in re.findall(r'(?:publish|publish_folder)\(.*name="(\w+)"\)', sources)}
    elsewhere = {"review.renamed", "thresholds.renamed", "candidates.renamed", "duplicates.renamed"}
    elsewhere |= {"journal.writing", "journal.written", "journal.synced"}  # tests/review/test_journal.py
    assert {*re.findall(r'reach\("([\w.]+)"\)', sources), *files} - elsewhere <= set(FAILPOINTS)


@pytest.mark.parametrize("action", ["full", "error"])
@pytest.mark.parametrize("name", [n for n in FAILPOINTS if n.endswith((".written", ".synced", ".taken"))])
def test_a_full_disk_or_an_error_leaves_no_half_file(
    registry: Registry, photos: Path, expected: dict[str, bytes], tmp_path: Path, name: str, action: str
) -> None:
    plan = compiled(registry, photos, tmp_path / "run", seen=name.startswith(SEEN))
    failpoints.arm(f"{name}:{action}:1")
    with pytest.raises(MachineError if action == "full" else RuntimeError, match=r"cannot be written|failpoint"):
        generate(plan, registry=registry)
    assert leftovers(tmp_path / "run") == []
    failpoints.arm("")
    generate(plan, registry=registry)
    assert published(tmp_path / "run") == expected


def child_of(work: Callable[[], Any]) -> int:
    """Do ``work`` in a child process, which exits with 9 if it fails; return its id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(9)
        os._exit(0)
    return child


def killed_at_random(registry: Registry, photos: Path, out: Path, seed: int, *, tries: int = 3) -> int:
    """Kill runs at random times, then let one come to its end; return how many had not ended before their kill.

    Times are drawn from what a run takes on this machine, so that kills fall into the run on fast and slow ones alike.
    """
    draw, kills = random.Random(seed), 0
    begun = time.monotonic()
    os.waitpid(child_of(lambda: generate(compiled(registry, photos, out.with_name("timed")), registry=registry)), 0)
    whole = time.monotonic() - begun
    shutil.rmtree(out.with_name("timed"))
    plan = compiled(registry, photos, out)
    for _ in range(tries):
        child = child_of(lambda: generate(plan, registry=registry))
        time.sleep(draw.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    generate(plan, registry=registry)
    return kills


@pytest.mark.parametrize("seed", range(5))
def test_kills_at_random_times(
    registry: Registry, photos: Path, expected: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    killed_at_random(registry, photos, tmp_path / "run", seed)  # a kill may come after the end: no clock decides here
    assert published(tmp_path / "run") == expected


@pytest.mark.soak
def test_two_hundred_kills_at_random_times(
    registry: Registry, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    kills, seed = 0, 1000
    while kills < 200:
        kills += killed_at_random(registry, photos, tmp_path / f"run{seed}", seed)
        assert published(tmp_path / f"run{seed}") == expected, f"seed {seed}"
        seed += 1


def test_two_runs_in_one_directory_exactly_one_wins(registry: Registry, photos: Path, tmp_path: Path) -> None:
    plan = compiled(registry, photos, tmp_path / "run")
    with store.RunStore.at(plan.plan).lock(), pytest.raises(BusyError, match=f"in use by process {os.getpid()} on"):
        generate(plan, registry=registry)
    assert generate(plan, registry=registry).rows == IMAGES


def test_at_most_one_shard_is_labelled_again(registry: Registry, photos: Path, tmp_path: Path) -> None:
    plan = compiled(registry, photos, tmp_path / "run")

    def work() -> None:
        failpoints.arm("row.labelled:kill:8")
        generate(plan, registry=registry)

    in_child(work)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "stages").rglob("*.jsonl")}
    assert len(there) == 2
    generate(plan, registry=registry)
    assert {path: path.stat().st_mtime_ns for path in there} == there


def test_a_file_system_that_is_really_full(registry: Registry, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=16k tmpfs {target} 2>/dev/null") != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with pytest.raises(MachineError, match="No space left"):
            generate(compiled(registry, photos, target / "run"), registry=registry)
        assert leftovers(target / "run") == []
    finally:
        os.system(f"umount {target}")
