"""A results directory that somebody else made, or where somebody else has files: nothing of theirs is replaced."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autolabel.data.inputs import decode_input
from autolabel.errors import AutolabelError, BusyError, DataError
from autolabel.plan import plan_file
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results import seal
from autolabel.results.ownership import MARK
from autolabel.results.seal import is_named_here
from autolabel.results.shard_file import shard_lines
from autolabel.results.status import read_status
from autolabel.results.store import RunStore
from autolabel.run.export import export_run
from autolabel.run.generate import generate, merge
from autolabel.run.outputs import report_run, review_run
from autolabel.spec.load import spec_from_mapping
from autolabel.spec.model import Spec
from tests.specs import make_spec

COMMANDS: dict[str, Callable[[Path, Compiled, Registry], object]] = {
    "generate": lambda out, compiled, registry: generate(compiled, registry=registry),
    "--fresh": lambda out, compiled, registry: generate(compiled, registry=registry, mode="fresh"),
    "merge": lambda out, compiled, registry: merge(out, registry=registry),
    "export": lambda out, compiled, registry: export_run(out, "coco", [], registry=registry),
    "report": lambda out, compiled, registry: report_run(out),
}


def spec_at(registry: Registry, photos: Path, out: Path, **changes: Any) -> Spec:
    spec = (
        make_spec(
            photos, out, classes=["red", "blue"], run={"shard_size": 3, "num_workers": 1}, export=[{"type": "coco"}]
        )
        | changes
    )
    return spec_from_mapping(spec, root=photos, registry=registry)


def compiled_at(registry: Registry, photos: Path, out: Path, **changes: Any) -> Compiled:
    return compile_plan(spec_at(registry, photos, out, **changes), registry=registry)


@pytest.fixture(scope="module")
def photos(draw_photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = draw_photos(tmp_path_factory.mktemp("photos"), 5)
    return folder


@pytest.fixture(scope="module")
def whole(registry: Registry, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    generate(compiled_at(registry, photos, out), registry=registry)
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def forge(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a plan as somebody would who knows how it is made."""
    path = run / "plan.json"
    plan = json.loads(path.read_bytes())
    change(plan)
    plan["sha256"] = plan_file.sum_of(plan)
    path.write_text(json.dumps(plan))


def split(plan: dict[str, Any], fractions: dict[str, Any]) -> None:
    plan["outputs"]["split"] = {"fractions": fractions, "seed": 0}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["link", "hard link", "text", "pipe", "folder"])
def test_a_lock_that_is_somebody_elses_is_left_alone(
    registry: Registry, photos: Path, run: Path, command: str, kind: str
) -> None:
    victim, lock = run.parent / "victim", run / ".lock"
    victim.write_text("precious")
    lock.unlink()
    {
        "link": lambda: lock.symlink_to(victim),
        "hard link": lambda: os.link(victim, lock),
        "text": lambda: lock.write_text("precious"),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lambda: lock.mkdir(),
    }[kind]()
    with pytest.raises(AutolabelError, match=r"\.lock"):
        COMMANDS[command](run, compiled_at(registry, photos, run), registry)
    assert victim.read_text() == "precious"
    assert kind != "text" or lock.read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", [".lock", "plan.json", "labels.jsonl", "inputs.jsonl", "labels.jsonl.sha256"])
def test_status_waits_for_no_pipe_and_follows_no_link(run: Path, name: str, kind: str) -> None:
    path = run / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    try:
        assert read_status(run).damaged
    except AutolabelError as error:
        assert name in str(error)


@pytest.mark.parametrize("command", ["generate", "--fresh", "merge"])
@pytest.mark.parametrize("linked", ["stages", "stages/0-colors", "logs"])
def test_no_folder_of_ours_is_a_link(
    registry: Registry, photos: Path, whole: Path, run: Path, command: str, linked: str
) -> None:
    other = run.parent / "other"
    shutil.copytree(whole, other)
    (other / "logs").mkdir()
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    shutil.rmtree(run / linked, ignore_errors=True)
    (run / linked).symlink_to(other / linked)
    (run / "labels.jsonl").unlink()
    with pytest.raises(BusyError, match=f"{linked}: is a link"):
        COMMANDS[command](run, compiled_at(registry, photos, run), registry)
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["coco", "yolo", "report", "images_annotated"])
@pytest.mark.parametrize("link", [False, True])
def test_a_persons_own_folders_are_never_replaced(
    registry: Registry, photos: Path, whole: Path, tmp_path: Path, name: str, link: bool
) -> None:
    run, mine = tmp_path / "run", tmp_path / ("mine" if link else f"run/{name}")
    shutil.copytree(whole, run, ignore=shutil.ignore_patterns(name))
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("precious")
    if link:
        (run / name).symlink_to(mine)
    exports = [{"type": name if name in ("coco", "yolo") else "coco"}]
    seen = {"report": name == "report", "visualize": name == "images_annotated"}
    with pytest.raises(BusyError, match=rf"holds {name}, which no run of autolabel has written"):
        generate(compiled_at(registry, photos, run, export=exports, **seen), registry=registry)
    if name in ("coco", "yolo"):
        with pytest.raises(BusyError, match=name):
            export_run(run, name, [], registry=registry)
    if name == "report":
        with pytest.raises(BusyError, match="report"):
            report_run(run)
    assert (mine / "thesis.txt").read_text() == "precious"


def test_a_foreign_lock_makes_no_folder_ours(registry: Registry, photos: Path, tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("apt\n")
    (tmp_path / "labels.jsonl").write_text("precious")
    with pytest.raises(BusyError, match=r"holds labels\.jsonl"):
        generate(compiled_at(registry, photos, tmp_path), registry=registry)
    assert (tmp_path / "labels.jsonl").read_text() == "precious"


def test_what_we_wrote_is_replaced(registry: Registry, photos: Path, run: Path) -> None:
    assert (run / "coco" / MARK).is_file()
    (run / "coco" / "annotations.json").write_text("old")
    export_run(run, "coco", [], registry=registry)
    assert json.loads((run / "coco" / "annotations.json").read_bytes())["images"]


def test_homes_repositories_and_the_systems_folders_are_no_results_directories(
    registry: Registry, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    (tmp_path / "home" / "me").mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "link").symlink_to("/")
    for place in ("/", "/etc", "home/me", "home", "repository", "link"):
        with pytest.raises(BusyError, match=r"is a (folder of the system|home|repository)"):
            generate(compiled_at(registry, photos, tmp_path / place), registry=registry)
    assert not (tmp_path / "repository" / ".lock").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: split(plan, {"../../victim": 1.0}), "'../../victim' is not a part of a split"),
        (lambda plan: split(plan, {"train": "all"}), "is not of type 'number'"),
        (lambda plan: plan["outputs"].update(thresholds={"red": "high"}), "is not of type 'number'"),
        (lambda plan: plan["outputs"].update(filter={"min_size": []}), "[] is not of type 'number', 'null'"),
        (lambda plan: plan["recipe"]["stages"][0].update(name="../../victim"), "stage 0 is called '../../victim'"),
        (lambda plan: plan["recipe"]["stages"][0].update(name="0-.."), "stage 0 is called"),
        (lambda plan: plan["manifest"]["shards"][0].__setitem__(3, 10**18), "out of place"),
        (lambda plan: plan["manifest"]["shards"][1].__setitem__(0, -1), "out of place"),
        (lambda plan: plan["manifest"].update(rows=10**9), "do not hold its 1,000,000,000 rows"),
        (lambda plan: plan["recipe"].update(max_pixels=10**18), "max_pixels"),
        (lambda plan: plan["recipe"].update(batch_size=0), "batch_size is 0"),
        (lambda plan: plan["recipe"].update(threads=-1), "threads is -1"),
        (lambda plan: plan["recipe"].update(value_range=[5.0, 5.0]), "value_range"),
        (lambda plan: split(plan, {"train": -5.0, "val": 6.0}), "the share of 'train' in its split is -5"),
        (lambda plan: split(plan, {"train": 0}), "do not add up to 1"),
        (lambda plan: split(plan, {}), "do not add up to 1"),
        (lambda plan: plan["execution"].update(workers=[]), "names no worker"),
        (lambda plan: plan["execution"].update(workers=["toaster"]), "'toaster' is not a device"),
        (lambda plan: plan["execution"].update(executor="ray"), "does not go with its cluster"),
        (lambda plan: plan["execution"].update(threads=0), "threads is 0"),
        (lambda plan: plan["execution"].update(num_workers=0), "num_workers is 0"),
        (lambda plan: plan["execution"].update(max_failures=-1), "max_failures is -1"),
        (lambda plan: plan["manifest"]["given"].update(categories=[5]), "category 0 of its given boxes"),
        (lambda plan: plan["manifest"]["given"].update(categories=[{"name": "red"}]), "category 0"),
        (lambda plan: plan["manifest"]["given"].update(categories=[{"id": [], "name": "red"}]), "category 0"),
        (lambda plan: plan["manifest"]["given"].update(categories={}), "not a list"),
    ],
)
def test_a_plan_says_nothing_that_no_spec_can(
    registry: Registry, run: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    victim = run.parent / "victim"
    victim.mkdir()
    (victim / "annotations.json").write_text("precious")
    forge(run, change)
    review = run.parent / "review.json"
    review.write_text(json.dumps({"plan": "x", "decisions": []}))
    for work in (
        lambda: export_run(run, "coco", [], registry=registry),
        lambda: review_run(run, review, registry=registry),
        lambda: merge(run, registry=registry),
        lambda: read_status(run),
    ):
        with pytest.raises(DataError, match=r"plan\.json") as caught:
            work()
        assert told in str(caught.value)
    assert (victim / "annotations.json").read_text() == "precious"


def test_a_plan_whose_exporter_is_asked_what_it_does_not_know_is_refused(registry: Registry, run: Path) -> None:
    forge(run, lambda plan: plan["outputs"]["exports"][0]["params"].update(path="../../../victim"))
    with pytest.raises(AutolabelError, match="path"):
        merge(run, registry=registry)
    assert not (run.parents[2] / "victim").exists()


def test_every_bit_turned_in_a_plan_is_found(run: Path) -> None:
    path = run / "plan.json"
    data, found = path.read_bytes(), 0
    for place in range(0, len(data), 37):
        for bit in (1, 2, 4, 16):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            try:
                again = plan_file.read_plan(path)
            except DataError:
                found += 1
            else:
                assert msgspec.json.encode(again) == msgspec.json.encode(plan_file.decode_plan(data, file="plan.json"))
    assert found


def test_a_results_directory_that_is_deleted_meanwhile_does_not_come_back_in_part(
    registry: Registry, photos: Path, tmp_path: Path
) -> None:
    from autolabel.errors import MachineError
    from autolabel.run.worker import Watch

    compiled = compiled_at(registry, photos, tmp_path / "run")

    class Deleting(Watch):
        def stage_started(self, plan: Any, stage: Any, *, rows: int, left: int) -> None:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(MachineError, match=r"was removed|sees no plan"):
        generate(compiled, registry=registry, watch=Deleting())
    generate(compiled, registry=registry)
    assert (tmp_path / "run" / "labels.jsonl").exists()


def elsewhere(run: Path, photos: Path) -> str:
    """Copy the photos away, and say where they are now."""
    place = run.parent / "elsewhere"
    shutil.copytree(photos, place)
    return str(place)


@pytest.mark.parametrize("form", ["{}", "file://{}", "http://127.0.0.1:9", "reference://a.png::{}", "ftp://h/x"])
def test_a_report_shows_no_pictures_that_a_strangers_plan_names(
    registry: Registry, photos: Path, run: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    report_run(run)
    assert "/9j/" in (run / "report" / "index.html").read_text()
    forge(run, lambda plan: plan["manifest"].update(roots={"": form.format(elsewhere(run, photos))}))
    report_run(run)
    assert "/9j/" not in (run / "report" / "index.html").read_text()
    assert "its images are not read" in caplog.text


def test_generating_with_the_spec_takes_a_run_over(registry: Registry, photos: Path, run: Path) -> None:
    (run / ".seal").unlink()
    report_run(run)
    assert "/9j/" not in (run / "report" / "index.html").read_text()
    generate(compiled_at(registry, photos, run), registry=registry)
    report_run(run)
    assert "/9j/" in (run / "report" / "index.html").read_text()


def test_the_key_is_the_users_own(registry: Registry, photos: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from autolabel.results import seal

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    generate(compiled_at(registry, photos, tmp_path / "run"), registry=registry)
    key = tmp_path / "state" / "autolabel" / "key"
    assert (key.stat().st_mode & 0o777, len(key.read_bytes())) == (0o600, 32)
    assert seal.is_named_here(tmp_path / "run", plan_file.read_plan(tmp_path / "run" / "plan.json"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert not seal.is_named_here(tmp_path / "run", plan_file.read_plan(tmp_path / "run" / "plan.json"))
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    generate(compiled_at(registry, photos, tmp_path / "run"), registry=registry)
    assert not seal.is_named_here(tmp_path / "run", plan_file.read_plan(tmp_path / "run" / "plan.json"))


def test_planned_rows_name_no_image_outside_the_specs_folders(registry: Registry, photos: Path, tmp_path: Path) -> None:
    import hashlib

    from autolabel.run.generate import write_plan
    from autolabel.run.prepare import planned_run

    run = tmp_path / "run"
    compiled = compiled_at(registry, photos, run)
    write_plan(compiled)
    inputs = run / "inputs.jsonl"
    data = re.sub(rb'{"image":"...', b'{"image":"../', inputs.read_bytes())
    inputs.write_bytes(data)

    def change(plan: dict[str, Any]) -> None:
        for shard in plan["manifest"]["shards"]:
            shard[4] = hashlib.sha256(data[shard[2] : shard[2] + shard[3]]).hexdigest()

    forge(run, change)
    with pytest.raises(DataError, match=r"is in no folder of data\.images"):
        generate(planned_run(spec_at(registry, photos, run), registry=registry), registry=registry, mode="planned")


def test_a_stored_path_is_not_read(registry: Registry, photos: Path, tmp_path: Path) -> None:
    manifest = compiled_at(registry, photos, tmp_path / "run").plan.manifest
    row = decode_input(b'{"image":"0.png","path":"/etc/passwd"}')
    assert manifest.placed(row).path == str(photos / "0.png")


@pytest.mark.parametrize("seal", [b"\xff\xfe", "ключ".encode(), b"", b"0" * 64, b"x" * 1000])
def test_a_seal_that_this_user_did_not_set_is_none(run: Path, seal: bytes) -> None:
    plan = plan_file.read_plan(run / "plan.json")
    assert is_named_here(run, plan)
    (run / ".seal").write_bytes(seal)
    assert not is_named_here(run, plan)


def test_a_key_that_no_disk_holds_leaves_none_and_is_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        assert seal.key() == b""
    assert list((tmp_path / "autolabel").iterdir()) == []
    made = seal.key()
    assert len(made) == seal.BYTES
    assert seal.key() == made


@pytest.mark.parametrize(
    "line", [b'{"image":5}', b'{"image":"00.png","caption_index":[1],"state":"empty"}', b"[]", b"\xff"]
)
@pytest.mark.parametrize("command", ["status", "merge", "generate"])
def test_a_forged_shard_whose_sum_is_right_is_told(
    registry: Registry, photos: Path, run: Path, command: str, line: bytes
) -> None:
    compiled = compiled_at(registry, photos, run)
    plan, stage = compiled.plan, compiled.plan.recipe.stages[0]
    store = RunStore(run)
    own = store.read_plan()
    assert own is not None
    shard = own.manifest.shards[0]
    lines = [line, *store.lines(own, stage, shard)[1:]]
    store.shard(stage, 0).write_bytes(b"".join(shard_lines(lines, plan=own.digest, stage=stage, shard=0)))
    (run / "labels.jsonl").unlink()
    if command == "status":
        [told] = read_status(run).damaged
        assert "shard-000000.jsonl: no row of labels" in told
        return
    with pytest.raises(DataError, match="stages/0-colors: holds a line that no run writes"):
        COMMANDS[command](run, compiled, registry)
    assert plan.digest == own.digest
