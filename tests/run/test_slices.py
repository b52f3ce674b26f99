"""Runs in slices, side by side or one after the other, and their merge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import BusyError, DataError, SpecError
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry, discover
from autolabel.results import slices
from autolabel.results.slices import Slice, running, seen
from autolabel.results.store import TEMPORARY, RunStore
from autolabel.run.generate import generate, generate_slice, merge
from autolabel.run.prepare import Mode, prepare
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

IMAGES = 11
SHARDS = 6


@pytest.fixture(scope="module")
def hazards(hazards_path: str) -> Registry:
    return discover()


@pytest.fixture(scope="module")
def photos(draw_photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = draw_photos(tmp_path_factory.mktemp("photos"), IMAGES)
    return folder


def mapping(photos: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return (
        make_spec(
            photos,
            out,
            classes=["red", "blue"],
            stages=[{"labeler": {"type": "colors"}}, {"labeler": {"type": "filled"}}],
            run={"shard_size": 2, "batch_size": 2, "num_workers": 1},
            export=[{"type": "coco"}, {"type": "csv"}],
        )
        | changes
    )


def compiled(hazards: Registry, spec: dict[str, Any]) -> Compiled:
    return compile_plan(spec_from_mapping(spec, root=Path.cwd(), registry=hazards), registry=hazards)


def published(out: Path) -> dict[str, bytes]:
    files = (path for name in ("coco", "csv", "stages") for path in (out / name).rglob("[!.]*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in [out / "labels.jsonl", *files]}


def run_slices(hazards: Registry, photos: Path, out: Path, parts: Sequence[str]) -> None:
    for part in parts:
        generate_slice(compiled(hazards, mapping(photos, out)), Slice.parse(part))


@pytest.fixture(scope="module")
def whole(hazards: Registry, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    generate(compiled(hazards, mapping(photos, out)), registry=hazards)
    assert len(published(out)) == 1 + 2 + 2 * SHARDS
    return published(out)


@pytest.mark.parametrize("parts", [["1/1"], ["2/2", "1/2"], ["3/4", "1/4", "4/4", "2/4"]], ids=len)
def test_slices_give_the_bytes_of_a_single_run(
    hazards: Registry, photos: Path, tmp_path: Path, whole: dict[str, bytes], parts: list[str]
) -> None:
    run_slices(hazards, photos, tmp_path / "run", parts)
    assert not (tmp_path / "run" / "labels.jsonl").exists()
    summary, _ = merge(tmp_path / "run", registry=hazards)
    assert published(tmp_path / "run") == whole
    assert summary.rows == IMAGES


def test_a_slice_writes_its_own_shards_only(hazards: Registry, photos: Path, tmp_path: Path) -> None:
    run_slices(hazards, photos, tmp_path, ["2/3"])
    names = {path.name for path in (tmp_path / "stages").rglob("*.jsonl")}
    assert names == {"shard-000001.jsonl", "shard-000004.jsonl"}


def test_merge_names_what_is_missing(hazards: Registry, photos: Path, tmp_path: Path) -> None:
    run_slices(hazards, photos, tmp_path, ["1/4", "2/4"])
    (tmp_path / "stages" / "1-filled" / "shard-000005.jsonl").unlink()
    with pytest.raises(DataError) as caught:
        merge(tmp_path, registry=hazards)
    assert "3 of 6 shards are missing: 1 of slice 2/4, 1 of slice 3/4, 1 of slice 4/4" in str(caught.value)
    assert "--slice 2/4" in caught.value.hint
    run_slices(hazards, photos, tmp_path, ["1/1"])
    (tmp_path / "stages" / "1-filled" / "shard-000003.jsonl").unlink()
    with pytest.raises(DataError, match="1 of 6 shards are missing: shard 3\n"):
        merge(tmp_path, registry=hazards)
    with pytest.raises(DataError, match=r"no plan\.json"):
        merge(photos, registry=hazards)


def test_a_whole_run_finishes_what_slices_began(
    hazards: Registry, photos: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    run_slices(hazards, photos, tmp_path, ["2/3"])
    generate(compiled(hazards, mapping(photos, tmp_path)), registry=hazards)
    assert published(tmp_path) == whole


def test_slices_take_in_images_that_were_added(hazards: Registry, photos: Path, tmp_path: Path) -> None:
    few = compile_plan(
        spec_from_mapping(mapping(photos, tmp_path), root=photos, registry=hazards), registry=hazards, limit=4
    )
    generate(few, registry=hazards)
    now = mapping(photos, tmp_path / "first-4")
    with pytest.raises(BusyError, match="--extend"):
        generate_slice(compiled(hazards, now), Slice(1, 2))
    for part in (Slice(1, 2), Slice(2, 2)):
        generate_slice(compiled(hazards, now), part, mode="extend")
    assert merge(tmp_path / "first-4", registry=hazards)[0].rows == IMAGES


def test_while_a_slice_runs_others_may_but_not_the_same_nor_the_whole(
    hazards: Registry, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "WAIT_SECONDS", 0.2)
    store, plan = RunStore(tmp_path), compiled(hazards, mapping(photos, tmp_path))
    with store.lock(Slice(1, 2).lock):
        assert running(store) == [Slice(1, 2)]
        generate_slice(plan, Slice(2, 2))
        with pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
            generate_slice(plan, Slice(1, 2))
        with pytest.raises(BusyError, match="in use by slice 1/2, and 1/3 is divided differently"):
            generate_slice(plan, Slice(1, 3))
        with pytest.raises(BusyError, match="in use by slice 1/2"):
            generate(plan, registry=hazards)
        with pytest.raises(BusyError, match="in use by slice 1/2"):
            merge(tmp_path, registry=hazards)
    with store.lock(), pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
        generate_slice(plan, Slice(1, 2))
    assert running(store) == []
    assert seen(store) == [Slice(1, 2), Slice(1, 3), Slice(2, 2)]


def test_half_written_files_of_others_stay_while_they_run(hazards: Registry, photos: Path, tmp_path: Path) -> None:
    store, plan = RunStore(tmp_path), compiled(hazards, mapping(photos, tmp_path))
    prepare(store, plan, Mode.RESUME)
    half = tmp_path / "stages" / "0-colors" / f"shard-000000.jsonl.1{TEMPORARY}"
    half.parent.mkdir(parents=True)
    half.touch()
    with store.lock(Slice(1, 2).lock):
        generate_slice(plan, Slice(2, 2))
        assert half.exists()
    generate_slice(plan, Slice(2, 2))
    assert not half.exists()


def test_a_slice_of_another_plan_is_refused(hazards: Registry, photos: Path, tmp_path: Path) -> None:
    run_slices(hazards, photos, tmp_path, ["1/2"])
    other = mapping(photos, tmp_path, run={"shard_size": 3})
    with pytest.raises(BusyError, match="shard_size was 2, now 3"):
        generate_slice(compiled(hazards, other), Slice(2, 2))
    assert running(RunStore(tmp_path)) == [], "the lock was given back"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_slice_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SpecError, match=r"wanted i/n with i from 1 to n.*\n.*--array=1-8"):
        Slice.parse(text)


def test_slices_that_start_at_once_share_an_empty_directory(
    hazards_path: str, photos: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(mapping(photos, tmp_path / "run")))
    environment = {**os.environ, "PYTHONPATH": hazards_path}
    command = [sys.executable, "-m", "autolabel"]
    started = [
        subprocess.Popen([*command, "generate", "-q", str(spec), "--slice", f"{index}/3"], env=environment)
        for index in (1, 2, 3)
    ]
    assert [process.wait() for process in started] == [0, 0, 0]
    subprocess.run([*command, "merge", str(tmp_path / "run"), "-q"], env=environment, check=True)
    assert published(tmp_path / "run") == whole
