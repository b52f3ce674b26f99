"""The same bytes wherever shards are labelled, in whatever order they end; what workers log and tell."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import autolabel
from autolabel.errors import MachineError
from autolabel.executors.executor import Emit, Start
from autolabel.executors.inline import Inline
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry, discover
from autolabel.results.slices import Slice
from autolabel.results.store import RunStore
from autolabel.run import generate as running
from autolabel.run import worker
from autolabel.run.generate import generate, generate_slice, merge
from autolabel.run.worker import Done, Once, StartStage, Watch
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 13


@pytest.fixture(scope="module")
def hazards(hazards_path: str) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", hazards_path)
        yield discover()


@pytest.fixture(scope="module")
def photos(draw_photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = draw_photos(tmp_path_factory.mktemp("photos"), IMAGES)
    return folder


def mapping(photos: Path, out: Path, **run: Any) -> dict[str, Any]:
    return make_spec(
        photos,
        out,
        classes=["red", "blue"],
        stages=[{"labeler": {"type": "colors"}}, {"labeler": {"type": "filled"}}],
        run={"shard_size": 2, "batch_size": 2, "num_workers": 1, **run},
        export=[{"type": "coco"}, {"type": "odvg"}, {"type": "csv"}],
    )


def label(registry: Registry, spec: dict[str, Any], watch: Watch | None = None) -> dict[str, bytes]:
    loaded = spec_from_mapping(spec, root=Path.cwd(), registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry, watch=watch)
    return published(Path(spec["results_dir"]))


def published(out: Path) -> dict[str, bytes]:
    files = (path for name in ("coco", "odvg", "csv") for path in (out / name).rglob("[!.]*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in [out / "labels.jsonl", *files]}


class Shuffled(Inline):
    """Ends tasks in an order that is drawn."""

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        order = list(tasks)
        random.Random(len(order)).shuffle(order)
        assert order != list(tasks)
        return Inline("cpu", 1).map(order, start, emit=emit)


def test_shards_may_end_in_any_order(
    hazards: Registry, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = label(hazards, mapping(photos, tmp_path / "ordered"))
    monkeypatch.setattr(running, "executor", lambda execution: Shuffled("cpu", 1))
    assert label(hazards, mapping(photos, tmp_path / "shuffled")) == expected
    assert len(expected) == 5


class Rows(Watch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []
        self.states: list[str] = []

    def row(self, done: Done) -> None:
        self.rows.append((done.shard, done.row))
        self.states.append(done.state)


def test_a_row_is_told_once_however_often_its_shard_is_begun(hazards: Registry, tmp_path: Path) -> None:
    from autolabel_colors import save

    for name in ("a", "b", "c-poison", "d", "e"):
        save(tmp_path / "photos" / f"{name}.png", [])
    rows = Rows()
    spec = mapping(tmp_path / "photos", tmp_path / "run", executor="processes", shard_size=5, batch_size=1)
    label(hazards, spec | {"stages": [{"labeler": {"type": "hazard"}}]}, rows)
    assert sorted(rows.rows) == [(0, row) for row in range(5)]
    assert Counter(rows.states)["failed"] == 1 and len(rows.states) == 5
    logs = sorted((tmp_path / "run" / "logs").glob("*.log"))
    assert len(logs) == 3 + 1 + 3, "workers that the shard and its image killed, and replacements"
    text = "".join(path.read_text() for path in logs)
    assert "INFO autolabel.run.stage_labeler: 0-hazard is loaded on cpu after" in text


def test_once_tells_every_row_and_none_twice() -> None:
    heard: list[Done] = []
    once = Once(heard.append)
    told = [Done(shard, row, "empty", 0) for shard in (0, 3) for row in (0, 1, 70)]
    for done in [*told, *told]:
        once(done)
    assert heard == told


def test_a_worker_logs_its_shards_and_why_images_fail(hazards: Registry, tmp_path: Path) -> None:
    from autolabel_colors import save

    for name in ("a", "b-raise"):
        save(tmp_path / "photos" / f"{name}.png", [])
    spec = mapping(tmp_path / "photos", tmp_path / "run", executor="processes")
    label(hazards, spec | {"stages": [{"labeler": {"type": "hazard"}}]})
    [path] = (tmp_path / "run" / "logs").glob("*.log")
    assert "shard 0: 2 rows in" in path.read_text()
    assert "b-raise.png: labeler_error: ValueError: cannot look at this" in path.read_text()
    assert 'raise ValueError("cannot look at this")' in path.read_text(), "with its traceback"


def test_a_machine_that_cannot_take_part_says_why(
    hazards: Registry, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MachineError, match=r"sees no plan in .*\n.*storage that all machines see"):
        StartStage(str(tmp_path), 0, logs=False)("cpu", print)
    label(hazards, mapping(photos, tmp_path / "run"))
    monkeypatch.setattr(autolabel, "__version__", "9.9")
    with pytest.raises(MachineError, match=r"has autolabel 9\.9, the plan is of 0\."):
        worker.plan_of(RunStore(tmp_path / "run"))


ONE_LOOK: dict[str, Any] = {}
BY_ROUND: dict[str, Any] = {
    "looks": {"which": ["plain", "mirror", "flip"], "spend": "by_round", "doubt": {"boxes": 2}},
    "scheduler": {"type": "step", "rounds": 3, "start": 0.5, "end": 0.1},
    "ask": "all",
}


@pytest.mark.soak
@pytest.mark.parametrize("more_of_stage", [ONE_LOOK, BY_ROUND], ids=["one look", "looks by round"])
@pytest.mark.parametrize("way", ["processes", "processes x 2", "processes x 4", "slices", "ray"])
def test_the_shipped_detector_gives_the_same_bytes_everywhere(
    hazards: Registry, tmp_path: Path, way: str, more_of_stage: dict[str, Any]
) -> None:
    def spec(name: str, **run: Any) -> dict[str, Any]:
        return make_spec(
            ROOT / "examples" / "bccd" / "images",
            tmp_path / name,
            classes=["red blood cell", "platelet"],
            stages=[{"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}, **more_of_stage}],
            run={"shard_size": 3, "batch_size": 2, "threads": 1, "num_workers": 1, **run},
        )

    expected = label(hazards, spec("inline", executor="inline"))
    if way == "slices":
        for part in (Slice(2, 2), Slice(1, 2)):
            loaded = spec_from_mapping(spec(way), root=tmp_path, registry=hazards)
            generate_slice(compile_plan(loaded, registry=hazards), part)
        merge(tmp_path / way, registry=hazards)
        assert published(tmp_path / way) == expected
        return
    if way == "ray":
        pytest.importorskip("ray")
    name, _, workers = way.partition(" x ")
    more = {"ray": {"address": "local", "workers": 2}} if way == "ray" else {"workers_per_device": int(workers or 1)}
    assert label(hazards, spec(way, executor=name, **more)) == expected
