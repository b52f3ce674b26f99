"""A Ray cluster of two nodes on loopback, whose actors and nodes are killed."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from autolabel.errors import MachineError
from autolabel.plan.compile import compile_plan
from autolabel.registry import discover
from autolabel.results.ledger import read_labels
from autolabel.results.summary import Summary
from autolabel.run.generate import generate
from autolabel.run.worker import Done, Watch
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.timeout(600),
    # older versions of Ray leave files open
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

CPUS = 2
STORE = 80 * 2**20


PORTS = ("metrics_agent_port", "runtime_env_agent_port", "dashboard_agent_listen_port", "metrics_export_port")
"""Ports that a node waits 15 s for its own helpers to choose, unless it is told them."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}
"""A start with few processes; workers as urgent as the rest (Ray makes them 15 nicer): a busy machine starves them."""


def free_ports() -> dict[str, int]:
    """Return a free port for each of PORTS: held together, so that no two are the same."""
    with ExitStack() as stack:
        held = {name: stack.enter_context(socket.socket()) for name in PORTS}
        for tried in held.values():
            tried.bind(("", 0))
        return {name: int(tried.getsockname()[1]) for name, tried in held.items()}


class Loopback:
    """A head and one more node, both on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        self.add(include_dashboard=False, no_monitor=True)
        self.other: Any = None
        self.join()

    def add(self, **options: Any) -> Any:
        """Add a node; skip where a busy machine exceeds, four times, the 30 s that Ray gives it."""
        for _ in range(4):
            given = {"num_cpus": CPUS, "object_store_memory": STORE, "include_log_monitor": False}
            given |= free_ports() | options
            try:
                return self.cluster.add_node(wait=False, **given)
            except Exception as error:
                if "timed out during startup" not in str(error):
                    raise
        pytest.skip("this machine is too busy: Ray's node did not start in 30 s, four times")

    def join(self) -> None:
        """Let the second node join, where it is not there."""
        if self.other is None:
            self.other = self.add()

    def leave(self) -> None:
        """Kill the second node."""
        self.cluster.remove_node(self.other, allow_graceful=False)
        self.other = None

    @property
    def address(self) -> str:
        return str(self.cluster.address)


def actors() -> list[psutil.Process]:
    """Return the processes of our actors."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "Actor" in process.name() or any("ray::Actor" in word for word in process.cmdline()[:1]):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def loopback(hazards_path: str) -> Iterator[Loopback]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", hazards_path)
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        made = Loopback()
        yield made
        made.cluster.shutdown()


def spec(folder: Path, names: list[str], *, loopback: Loopback | None = None, **run: Any) -> dict[str, Any]:
    from autolabel_colors import Rectangle, save

    for name in names:
        save(folder / "photos" / f"{name}.png", [Rectangle(1, 1, 5, 5, "red")])
    ray = {} if loopback is None else {"executor": "ray", "ray": {"address": loopback.address}}
    return make_spec(
        folder / "photos",
        folder / ("run" if loopback is None else "ray"),
        stages=[{"labeler": {"type": "hazard"}}],
        run={"shard_size": 2, "batch_size": 2, "num_workers": 1, **ray, **run},
    )


def run(mapping: dict[str, Any], watch: Watch | None = None) -> Summary:
    registry = discover()
    loaded = spec_from_mapping(mapping, root=Path.cwd(), registry=registry)
    return generate(compile_plan(loaded, registry=registry), registry=registry, watch=watch)


def published(out: Path) -> dict[str, bytes]:
    files = (path for name in ("coco", "odvg") for path in (out / name).rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in [out / "labels.jsonl", *files]}


class Killer(Watch):
    """Kills an actor and a node when so many rows are labelled; lets the node join before, where it is not there."""

    def __init__(self, loopback: Loopback, *, actor: int, node: int) -> None:
        self.loopback, self.rows, self.actor, self.node = loopback, 0, actor, node
        self.killed: list[str] = []
        self.most = 0

    def row(self, done: Done) -> None:
        self.rows += 1
        there = self.loopback.other is not None  # or the driver has yet to ask it for workers
        if "node" not in self.killed:
            self.loopback.join()
        for _ in range(40 if there else 0):
            if self.most > CPUS:
                break
            time.sleep(0.25)  # the node's workers take their time to start
            self.most = max(self.most, len(actors()))
        if self.rows >= self.actor and "actor" not in self.killed:
            random.Random(self.rows).choice(actors()).kill()
            self.killed.append("actor")
        if self.rows >= self.node and self.most > CPUS and "node" not in self.killed:
            self.loopback.leave()
            self.killed.append("node")


def kill_run(loopback: Loopback, folder: Path, names: list[str], seed: int) -> Summary:
    """Kill an actor and a node during a run: its bytes are those of an undisturbed one."""
    draw = random.Random(seed)
    killer = Killer(loopback, actor=draw.randrange(1, 12), node=draw.randrange(1, 12))
    summary = run(spec(folder, names, loopback=loopback), killer)
    assert sorted(killer.killed) == ["actor", "node"]
    assert killer.most > CPUS, "the node that joined got work"
    run(spec(folder, names))
    assert published(folder / "ray") == published(folder / "run")
    return summary


SLOW = [f"{index:02d}-slow" for index in range(24)]


def test_an_actor_and_a_node_killed_lose_and_double_nothing(loopback: Loopback, tmp_path: Path) -> None:
    loopback.join()
    assert dict(kill_run(loopback, tmp_path, SLOW, 1).states) == {"labelled": len(SLOW)}


def test_a_node_joins_and_an_image_that_kills_its_actors_is_recorded(loopback: Loopback, tmp_path: Path) -> None:
    if loopback.other is not None:
        loopback.leave()
    names = [*SLOW, "01-poison", "02-raise"]
    killer = Killer(loopback, actor=3, node=12)
    summary = run(spec(tmp_path, names, loopback=loopback), killer)
    assert sorted(killer.killed) == ["actor", "node"]
    assert killer.most > CPUS
    assert dict(summary.reasons) == {"worker_crash": 1, "labeler_error": 1}
    rows = list(read_labels(tmp_path / "ray"))
    assert [row.image.id for row in rows] == sorted(f"{name}.png" for name in names)
    [failed] = [row for row in rows if row.reason and row.reason.code == "worker_crash"]
    assert failed.image.id == "01-poison.png"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_twenty_runs_with_an_actor_and_a_node_killed(loopback: Loopback, tmp_path: Path, seed: int) -> None:
    if seed % 2:
        loopback.join()
    kill_run(loopback, tmp_path, SLOW, seed)


class Leaver(Watch):
    """Leaves the cluster in the middle of a run, as a program that uses Ray itself may."""

    def row(self, done: Done) -> None:
        import ray

        ray.shutdown()


def test_a_program_that_leaves_the_cluster_ends_the_run_and_nothing_else(loopback: Loopback, tmp_path: Path) -> None:
    import ray

    mapping = spec(tmp_path, ["a", "b", "c"], loopback=loopback)
    with pytest.raises(MachineError, match="left the Ray cluster during the run"):
        run(mapping, Leaver())
    assert not ray.is_initialized(), "nothing joined the cluster anew"
    assert dict(run(mapping).states) == {"labelled": 3}


def test_no_cluster_is_told_with_what_to_do(hazards_path: str, tmp_path: Path) -> None:
    mapping = spec(tmp_path, ["a"], executor="ray", ray={"address": "127.0.0.1:1"})
    with pytest.raises(MachineError, match=r"no Ray cluster at '127.0.0.1:1'.*\n.*ray start --head"):
        run(mapping)
