"""Images and results at URLs: the same bytes as on a disk, and the same after an interruption."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from autolabel.errors import BusyError, DataError, MachineError, SpecError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results import failpoints, lock
from autolabel.results.ledger import read_labels
from autolabel.results.status import read_status
from autolabel.results.store import RunStore
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.run.outputs import report_run
from autolabel.spec.load import spec_from_mapping
from autolabel.storage import Remote
from tests.specs import make_spec

IMAGES = 8
PHOTOS, RUN = Remote("memory://bucket/photos"), Remote("memory://bucket/run")


@pytest.fixture(autouse=True)
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    """An empty store of this process."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def photos(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("data") / "photos"
    for index in range(IMAGES):
        inside = folder / ("a" if index % 2 else "b")
        save(inside / f"{index}.png", [Rectangle(index, 3, 20 + index, 20, "red", 0.9)], size=(64, 64 + index // 5))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not listed")
    return folder


def put(folder: Path, target: Remote) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            (target / path.relative_to(folder)).write_bytes(path.read_bytes())


def mapping(images: Any, out: Any, **changes: Any) -> dict[str, Any]:
    return (
        make_spec(
            images,
            out,
            classes=["red", "blue"],
            run={"shard_size": 3, "batch_size": 2, "num_workers": 1, "executor": "inline"},
            export=[{"type": "coco"}, {"type": "yolo"}, {"type": "csv"}],
            report=True,
            visualize=True,
        )
        | changes
    )


def run(registry: Registry, spec: dict[str, Any], **options: Any) -> Any:
    loaded = spec_from_mapping(spec, root=Path.cwd(), registry=registry)
    return generate(compile_plan(loaded, registry=registry), registry=registry, **options)


def published(root: Remote | Path) -> dict[str, bytes]:
    """Return what a run leaves, but for its plan, its inputs (they say where things lie) and its lock."""
    if isinstance(root, Remote):
        found = {entry.name: (root / entry.name).read_bytes() for entry in root.files()}
    else:
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    state = (".lock", "plan.json", ".seal", "outputs.json", "inputs.jsonl")
    return {name: data for name, data in found.items() if name not in state}


@pytest.fixture(scope="module")
def expected(registry: Registry, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("here") / "run"
    run(registry, mapping(photos, out))
    found = published(out)
    assert len(found) > 2 * IMAGES + 8
    return found


def test_a_run_at_urls_writes_the_bytes_of_a_local_one(
    registry: Registry, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    put(photos, PHOTOS)
    summary = run(registry, mapping(PHOTOS, RUN))
    assert published(RUN) == expected
    assert summary.written[0] == f"{RUN}/labels.jsonl"
    run(registry, mapping(PHOTOS, tmp_path / "run"))
    assert published(tmp_path / "run") == expected
    run(registry, mapping(photos, RUN / "below" / "run"))
    assert published(RUN / "below" / "run") == expected


def test_the_plan_of_a_data_set_is_the_same_wherever_it_lies(registry: Registry, photos: Path, tmp_path: Path) -> None:
    put(photos, PHOTOS)
    plans = [
        compile_plan(spec_from_mapping(mapping(images, out), root=tmp_path, registry=registry), registry=registry).plan
        for images, out in ((photos, tmp_path / "run"), (PHOTOS, RUN))
    ]
    assert plans[0].digest == plans[1].digest
    assert (
        (plans[0].manifest.images, plans[0].manifest.unusable)
        == (plans[1].manifest.images, plans[1].manifest.unusable)
        == (IMAGES + 2, 2)
    )


@pytest.mark.parametrize("point", ["lock.taken:1", "shard.written:2", "shard.renamed:2", "ledger.written:1"])
def test_a_run_that_fails_goes_on_to_the_same_bytes(
    registry: Registry, photos: Path, expected: dict[str, bytes], point: str
) -> None:
    put(photos, PHOTOS)
    name, number = point.split(":")
    failpoints.arm(f"{name}:error:{number}")
    with pytest.raises(RuntimeError, match=f"failpoint {name}"):
        run(registry, mapping(PHOTOS, RUN))
    failpoints.arm("")
    assert published(RUN).items() <= expected.items()
    run(registry, mapping(PHOTOS, RUN))
    assert published(RUN) == expected


def test_what_is_asked_of_a_finished_run(registry: Registry, photos: Path, expected: dict[str, bytes]) -> None:
    put(photos, PHOTOS)
    run(registry, mapping(PHOTOS, RUN, export=[{"type": "coco"}], report=False, visualize=False))
    status = read_status(RUN)
    assert (status.finished, status.states) == (True, {"failed": 2, "labelled": IMAGES})
    assert len(list(read_labels(str(RUN)))) == IMAGES + 2
    [path] = export_run(RUN, "csv", [], registry=registry)
    assert str(path) == f"{RUN}/csv/labels.csv"
    assert published(RUN)["csv/labels.csv"] == expected["csv/labels.csv"]
    export_run(RUN, "yolo", [], registry=registry)
    placed = {name: data for name, data in published(RUN).items() if name.startswith("yolo/images/")}
    assert len(placed) == IMAGES and set(placed.values()) <= {
        path.read_bytes() for path in photos.rglob("*") if path.is_file()
    }
    assert str(report_run(RUN)) == f"{RUN}/report/index.html"
    assert b"data:image" in published(RUN)["report/index.html"] or b"/9j/" in published(RUN)["report/index.html"]
    with pytest.raises(DataError, match="not a finished run"):
        export_run(RUN / "elsewhere", "csv", [], registry=registry)


def test_files_that_an_export_no_longer_has_are_deleted(registry: Registry, photos: Path) -> None:
    put(photos, PHOTOS)
    run(registry, mapping(PHOTOS, RUN))
    (RUN / "yolo" / "labels" / "old.txt").write_bytes(b"0 0 0 1 1\n")
    run(registry, mapping(PHOTOS, RUN))
    assert "yolo/labels/old.txt" not in published(RUN)


def test_starting_over_and_taking_in_more(registry: Registry, photos: Path, expected: dict[str, bytes]) -> None:
    put(photos / "a", PHOTOS / "a")
    run(registry, mapping(PHOTOS, RUN))
    put(photos, PHOTOS)
    with pytest.raises(BusyError, match="--extend"):
        run(registry, mapping(PHOTOS, RUN))
    run(registry, mapping(PHOTOS, RUN), mode="extend")
    assert len(list(read_labels(RUN))) == IMAGES + 2
    run(registry, mapping(PHOTOS, RUN), mode="fresh")
    assert published(RUN) == expected


def test_what_no_run_has_written_is_never_replaced(registry: Registry, photos: Path) -> None:
    put(photos, PHOTOS)
    (RUN / "coco" / "mine.json").write_bytes(b"mine")
    with pytest.raises(BusyError, match="holds coco, which no run of autolabel has written"):
        run(registry, mapping(PHOTOS, RUN))
    assert published(RUN) == {"coco/mine.json": b"mine"}


def lease(process: int, host: str, renewed: float) -> bytes:
    return json.dumps({"process": process, "host": host, "renewed": renewed}).encode()


def test_a_lease_keeps_a_second_driver_out(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(RUN)
    with store.lock(), pytest.raises(BusyError, match=r"run is in use by process \d+ on .*\n  hint: wait for it"):
        store.lock().__enter__()
    with store.lock():
        found = lock.holder(RUN / ".lock")
        assert found is not None and found.name.startswith("process ")
    assert lock.holder(RUN / ".lock") is None
    now = time.time()
    (RUN / ".lock").write_bytes(lease(1, "another.example", now - 10))
    with pytest.raises(BusyError, match=r"process 1 on another.example\n.*can start in 1[01]\d s"):
        store.lock().__enter__()
    for gone in (lease(1, "another.example", now - lock.LEASE_SECONDS), lease(4194999, socket.gethostname(), now)):
        (RUN / ".lock").write_bytes(gone)
        with store.lock():
            assert json.loads((RUN / ".lock").read_bytes())["renewed"] >= now


def test_a_lease_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_RENEWAL_SECONDS", 0.01)
    with RunStore(RUN).lock():
        first = (RUN / ".lock").read_bytes()
        for _ in range(500):
            if (RUN / ".lock").read_bytes() != first:
                break
            time.sleep(0.01)
        assert (RUN / ".lock").read_bytes() != first


HOSTILE = ["../secret.png", "s3://other/secret.png", "memory://bucket/secret.png", "/bucket/secret.png", "a/../1.png"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_data_open_nothing_but_what_is_listed(registry: Registry, photos: Path, name: str) -> None:
    put(photos, PHOTOS)
    Remote("memory://bucket/secret.png").write_bytes((photos / "a" / "1.png").read_bytes())
    captions = Remote("memory://bucket/captions.jsonl")
    lines = [{"file_name": one, "noun_chunks": ["red"]} for one in (name, "a/1.png")]
    captions.write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode())
    data = {"images": [str(PHOTOS)], "captions": str(captions)}
    run(registry, mapping(PHOTOS, RUN, data=data))
    states = {row.image.id: row.reason.code if row.reason else row.state for row in read_labels(RUN)}
    assert states == {name: "missing", "a/1.png": "labelled"}


def test_keys_that_are_no_paths_are_told(registry: Registry, photos: Path, bucket: fsspec.AbstractFileSystem) -> None:
    put(photos / "a", PHOTOS)
    bucket.store["/bucket/photos/x/../y.png"] = bucket.store["/bucket/photos/1.png"]
    summary = run(registry, mapping(PHOTOS, RUN))
    assert dict(summary.reasons) == {"bad_name": 1}


def test_boxes_at_a_url(registry: Registry, photos: Path, expected: dict[str, bytes]) -> None:
    put(photos, PHOTOS)
    boxes = Remote("memory://bucket/boxes.json")
    boxes.write_bytes(expected["coco/annotations.json"])
    spec = mapping(PHOTOS, RUN, data={"images": [str(PHOTOS)], "boxes": str(boxes)})
    with pytest.raises(SpecError, match=r"finds boxes itself, but data\.boxes already gives some"):
        run(registry, spec)
    from autolabel.data.coco.read import read_coco

    assert len(read_coco(str(boxes))) == IMAGES


def test_what_cannot_be_reached_is_told(registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, told in (
        ("memory://bucket/nothing", "no such folder: memory://bucket/nothing"),
        ("memory://me:secret@bucket/x", "memory://bucket/x holds a password"),
        ("zip://a.zip::memory://bucket", "is several URLs in one"),
    ):
        with pytest.raises(SpecError, match=told):
            run(registry, mapping(url, RUN))
    with pytest.raises(SpecError, match="scheme 'nowhere', which is not read"):
        run(registry, mapping("nowhere://bucket", RUN))
    monkeypatch.setenv("AUTOLABEL_ALLOW_URLS", "nowhere")
    with pytest.raises(MachineError, match="Protocol not known: nowhere"):
        run(registry, mapping("nowhere://bucket", RUN))
