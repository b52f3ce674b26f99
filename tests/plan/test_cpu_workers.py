"""How many workers a run on a CPU gets, and with how many threads, where the spec does not say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import autolabel
from autolabel.plan.compile import compile_plan
from autolabel.plan.cpu_workers import with_cpu_workers
from autolabel.plan.model import Execution, Plan, Shard, WeightFile, Weights
from autolabel.registry import Registry, discover
from autolabel.spec.load import spec_from_mapping
from autolabel.spec.model import RunSpec
from tests.specs import make_spec

GB = 1_000_000_000


@pytest.fixture(scope="module")
def plan(registry: Registry, draw_photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("workers")
    spec = spec_from_mapping(make_spec(draw_photos(root / "photos", 2), root / "run"), root=root, registry=registry)
    return compile_plan(spec, registry=registry).plan


def chosen(
    plan: Plan, *, rows: int, shards: int, weights: int = 0, sends_to: str = "", size: int = 1, **run: Any
) -> Execution:
    files = (WeightFile(name="w", bytes=weights, sha256=""),)
    heavy = Weights(files=files, licence="", commercial=None)
    [stage] = plan.recipe.stages
    stage = replace(stage, weights=heavy, sends_to=(sends_to,) if sends_to else ())
    said = RunSpec.model_validate(run)
    return with_cpu_workers(
        replace(plan.execution, threads=said.threads or 8),
        said,
        replace(plan.recipe, stages=(stage,)),
        replace(plan.manifest, rows=rows, shards=_shards(rows, shards, size)),
    )


def _shards(rows: int, count: int, size: int) -> tuple[Shard, ...]:
    """Return shards of equal size, the last with the rest of the rows where there is one."""
    left = rows - size * (count - 1)
    return tuple(Shard(one, size if one < count - 1 or left > size else left, 0, 0) for one in range(count))


@pytest.mark.parametrize(
    ("rows", "more", "workers", "threads"),
    [
        (10_000, {}, 8, 1),
        (3, {"shards": 3}, 1, 8),
        (200, {"shards": 4}, 4, 2),
        (40, {}, 2, 4),
        (65, {"shards": 2, "size": 64}, 1, 8),
        (120, {"shards": 2, "size": 64}, 2, 4),
        (200, {"shards": 4, "size": 64}, 4, 2),
        (330, {"shards": 6, "size": 64, "threads": 1}, 6, 1),
        (10_000, {"threads": 2}, 4, 2),
        (10_000, {"threads": 16}, 1, 16),
        (10_000, {"weights": 2 * GB}, 2, 4),
        (10_000, {"weights": 50 * GB}, 1, 8),
        (10_000, {"workers_per_device": 1}, 1, 8),
        (10_000, {"executor": "inline"}, 1, 8),
        (10_000, {"executor": "processes"}, 8, 1),
        (10_000, {"sends_to": "http://localhost:8000"}, 1, 8),
    ],
)
def test_workers_follow_from_cores_memory_and_rows(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, rows: int, more: dict[str, Any], workers: int, threads: int
) -> None:
    monkeypatch.setattr("autolabel.plan.machine.cores", lambda: 8)
    monkeypatch.setattr("autolabel.plan.machine.memory", lambda: 32 * GB)
    found = chosen(plan, rows=rows, **{"shards": 1000, **more})
    assert (found.workers, found.threads) == (("cpu",) * workers, threads)
    assert found.chosen == (workers > 1)
    assert found.executor == ("processes" if workers > 1 else "inline")
    alone = found.alone()
    assert (alone.workers, alone.executor) == (("cpu",), "inline")
    assert alone.threads == workers * threads


def test_one_worker_where_the_memory_is_unknown(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.plan.machine.cores", lambda: 8)
    monkeypatch.setattr("autolabel.plan.machine.memory", lambda: None)
    assert chosen(plan, rows=10_000, shards=1000) == replace(plan.execution, threads=8)


def test_what_was_said_stays(plan: Plan) -> None:
    said = replace(plan.execution, workers=("cpu", "cpu"), threads=3, executor="processes")
    assert said.alone() == said


def test_a_run_with_chosen_workers_gives_the_bytes_of_one_process_and_opens_in_one(
    hazards_path: str, draw_photos: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", hazards_path)
    monkeypatch.setattr("autolabel.plan.machine.cores", lambda: 2)
    registry, photos = discover(), draw_photos(tmp_path / "photos", 11)
    for file in sorted(photos.iterdir()):
        for copy in ("second", "third"):
            shutil.copyfile(file, photos / f"{copy}-{file.name}")
    files = []
    for executor in ("auto", "inline"):
        run = {"shard_size": 4, "num_workers": 1, "executor": executor}
        spec = spec_from_mapping(make_spec(photos, tmp_path / executor, run=run), root=tmp_path, registry=registry)
        compiled = compile_plan(spec, registry=registry)
        autolabel.generate(compiled, registry=registry)
        files.append((tmp_path / executor / "labels.jsonl").read_bytes())
        count = 2 if executor == "auto" else 1
        assert compiled.plan.execution.places == ("2 x cpu" if count == 2 else "cpu")
        assert len(list((tmp_path / executor / "logs").glob("*.log"))) == (2 if count == 2 else 0)
    assert files[0] == files[1]
    with autolabel.open(tmp_path / "auto", registry=registry) as predictor:
        assert predictor.plan.execution.workers == ("cpu",)
        assert predictor.plan.execution.threads == 2
