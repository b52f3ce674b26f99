"""How far a run is, told while it runs, after it was interrupted and when it is finished."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli import console
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results.slices import Slice
from autolabel.results.status import Status, read_status, speed
from autolabel.results.store import RunStore
from autolabel.run.generate import generate, generate_slice, merge, write_plan
from autolabel.run.worker import Done, Watch
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

NOW = 2_000_000_000.0


@pytest.fixture
def plan(registry: Registry, tmp_path: Path) -> Compiled:
    """Eight images in four shards, the fourth image broken."""
    from autolabel_colors import Rectangle, save

    for index in range(8):
        save(tmp_path / "photos" / f"{index}.png", [Rectangle(2, 3, 20, 20, "red", 0.9)][: index % 3])
    (tmp_path / "photos" / "3.png").write_bytes((tmp_path / "photos" / "3.png").read_bytes()[:60])
    spec: dict[str, Any] = make_spec(
        tmp_path / "photos", tmp_path / "run", run={"shard_size": 2, "num_workers": 1}, export=[]
    )
    return compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)


def shards(plan: Compiled) -> list[Path]:
    return sorted((Path(plan.plan.outputs.results_dir) / "stages" / "0-colors").iterdir())


class Onlooker(Watch):
    """Reads the status whenever a row is done."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.seen: list[Status] = []

    def row(self, done: Done) -> None:
        self.seen.append(read_status(self.run))


def test_it_is_told_while_the_run_goes_on_and_disturbs_nothing(registry: Registry, plan: Compiled) -> None:
    run = Path(plan.plan.outputs.results_dir)
    onlooker = Onlooker(run)
    generate(plan, registry=registry, watch=onlooker)
    told = [status.stages["0-colors"] for status in onlooker.seen]
    assert told == [f"{done} of 8" for done in (0, 0, 2, 2, 4, 4, 6, 6)]
    assert not any(status.finished for status in onlooker.seen)
    assert all(status.running and f"process {os.getpid()} on" in status.running.name for status in onlooker.seen)
    assert onlooker.seen[-1].seconds_left is not None and onlooker.seen[0].seconds_left is None
    after = read_status(run)
    assert (after.running, after.slices) == (None, ())
    assert (after.finished, after.seconds_left, after.stages) == (True, 0, {"0-colors": "8 of 8"})
    assert after.states == {"empty": 2, "failed": 1, "labelled": 5}


def test_rate_and_time_left_are_those_of_the_shards_and_a_pause_between_two_runs_does_not_count(
    registry: Registry, plan: Compiled, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(plan, registry=registry)
    run = Path(plan.plan.outputs.results_dir)
    (run / "labels.jsonl").unlink()
    shards(plan)[3].unlink()
    for path, seconds in zip(shards(plan), (0, 10, 14), strict=True):
        os.utime(path, (NOW + seconds, NOW + seconds))
    os.utime(run / ".lock", (NOW - 1, NOW - 1))
    status = read_status(run)
    assert status.rows_per_second == pytest.approx(4 / 14) and status.seconds_left == pytest.approx(7)
    console.print_status(status)
    told = capsys.readouterr().out
    assert "6 of 8 rows" in told and "1 failed" in told and "0.29 rows a second" in told and "about 7 s" in told
    os.utime(run / ".lock", (NOW + 5, NOW + 5))
    assert read_status(run).rows_per_second == pytest.approx(2 / 4), "resumed after 5 s"


def test_slices_are_told_with_who_runs_them(
    registry: Registry, plan: Compiled, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(plan.plan.outputs.results_dir)
    write_plan(plan)
    assert read_status(run).slices == ()
    generate_slice(plan, Slice(3, 3))
    store = RunStore(run)
    with store.lock(Slice(1, 3).lock):
        before = (run / Slice(1, 3).lock).read_bytes()
        status = read_status(run)
        assert (run / Slice(1, 3).lock).read_bytes() == before
    assert status.running is None
    assert [(part.slice, part.rows, part.stages, part.done) for part in status.slices] == [
        ("1/3", 4, {"0-colors": 0}, False),
        ("2/3", 2, {"0-colors": 0}, False),
        ("3/3", 2, {"0-colors": 2}, True),
    ]
    first, second, third = (part.running for part in status.slices)
    assert first is not None and first.name.startswith(f"process {os.getpid()} on ") and first.since.endswith("+00:00")
    assert (second, third) == (None, None)
    assert status.as_dict()["slices"][0]["running"] == {"name": first.name, "since": first.since}
    console.print_status(status)
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["1/3", "4", "0", *f"{first.name}, since {first.since}".split()] in told
    assert ["2/3", "2", "0", "no"] in told
    assert told[-1] == ["1", "of", "3", "slices", "done"] and not any(words[:1] == ["3/3"] for words in told)
    for part in (Slice(1, 2), Slice(2, 2)):
        generate_slice(plan, part)
    assert [part.slice for part in read_status(run).slices] == ["1/2", "2/2"], "how it was cut last"
    merge(run, registry=registry)
    assert read_status(run).slices == ()


def test_one_shard_tells_no_speed() -> None:
    assert speed([(1.0, 5)], since=0) is None
    assert speed([], since=0) is None
    assert speed([(1.0, 5), (1.0, 5)], since=0) is None, "published at the same time"
    assert speed([(1.0, 5), (3.0, 5)], since=2) == pytest.approx(2.5), "of an earlier run, as long as there is no other"
