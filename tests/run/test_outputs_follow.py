"""What a run has written is recorded: it follows a review, and a full disk leaves the run unfinished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli import console
from autolabel.errors import MachineError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results import failpoints
from autolabel.results.status import read_status
from autolabel.results.store import RunStore
from autolabel.results.written import OUTPUTS, mark_stale, read_written
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.run.outputs import follow, report_run, review_run
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

IMAGES = 4


@pytest.fixture
def photos(draw_photos: Any, tmp_path: Path) -> Path:
    folder: Path = draw_photos(tmp_path / "photos", IMAGES)
    return folder


def label(registry: Registry, photos: Path, *, extend: bool = False, **changes: Any) -> Path:
    spec = (
        make_spec(
            photos, photos.parent / "run", classes=["red", "blue"], run={"num_workers": 1}, export=[{"type": "coco"}]
        )
        | changes
    )
    loaded = spec_from_mapping(spec, root=photos.parent, registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry, mode="extend" if extend else "resume")
    return photos.parent / "run"


def review(run: Path, verdict: str = "reject") -> Path:
    first = json.loads((run / "labels.jsonl").read_text().splitlines()[0])
    box = first["instances"][0]
    decision = {"image": first["image"], "bbox": box["bbox"], "phrase": box["phrase"], "verdict": verdict}
    path = run.parent / "review.json"
    path.write_text(json.dumps({"plan": first["plan"], "decisions": [decision]}))
    return path


def objects(run: Path) -> dict[str, int]:
    """The number of objects that each export of a run holds."""
    return {
        "coco": len(json.loads((run / "coco/annotations.json").read_text())["annotations"]),
        "kitti": sum(len(path.read_text().splitlines()) for path in (run / "kitti/label_2").iterdir()),
        "voc": sum(path.read_text().count("<object>") for path in (run / "voc/Annotations").iterdir()),
    }


def test_exports_made_by_command_follow_a_review_with_their_parameters(registry: Registry, photos: Path) -> None:
    run = label(registry, photos)
    export_run(run, "kitti", ["scores=true"], registry=registry)
    export_run(run, "voc", [], registry=registry)
    assert objects(run) == {"coco": 4, "kitti": 4, "voc": 4}
    review_run(run, review(run), registry=registry)
    assert objects(run) == {"coco": 3, "kitti": 3, "voc": 3}
    [line] = (run / "kitti/label_2/01.txt").read_text().splitlines()
    assert len(line.split()) == 16, "with its scores"
    review_run(run, review(run, "forget"), registry=registry)
    assert objects(run) == {"coco": 4, "kitti": 4, "voc": 4}


def test_thresholds_of_a_command_and_the_report_follow_too(registry: Registry, photos: Path, tmp_path: Path) -> None:
    run = label(registry, photos)
    (tmp_path / "thresholds.yaml").write_text("red: 0.86\n")
    export_run(run, "coco", [], registry=registry, thresholds=tmp_path / "thresholds.yaml")
    report_run(run)
    page = (run / "report/index.html").stat().st_mtime_ns
    before = json.loads((run / "coco/annotations.json").read_text())["annotations"]
    review_run(run, review(run), registry=registry)
    after = json.loads((run / "coco/annotations.json").read_text())["annotations"]
    assert (len(before), len(after)) == (1, 0), "one box scores 0.9, and was rejected"
    assert (run / "report/index.html").stat().st_mtime_ns > page


def test_labelling_again_refreshes_what_commands_have_exported(
    registry: Registry, photos: Path, draw_photos: Any
) -> None:
    run = label(registry, photos)
    export_run(run, "voc", [], registry=registry)
    draw_photos(photos, IMAGES + 2)
    label(registry, photos, extend=True)
    assert len(list((run / "voc/Annotations").iterdir())) == IMAGES + 2
    assert read_status(run).outputs == {"coco": True, "voc": True}


@pytest.mark.parametrize("name", ["export", "pictures", "report"])
def test_a_run_whose_disk_was_full_while_it_wrote_is_not_finished(
    registry: Registry, photos: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failpoints.arm(f"{name}.synced:full:1")
    try:
        with pytest.raises(MachineError, match="No space left"):
            label(registry, photos, visualize=True, report=True)
    finally:
        failpoints.arm("")
    run = photos.parent / "run"
    status = read_status(run)
    assert not status.finished and (run / "labels.jsonl").exists()
    console.print_status(status)
    out = capsys.readouterr().out
    folder = {"export": "coco", "pictures": "images_annotated", "report": "report"}[name]
    assert "no" in out.split("finished")[1].splitlines()[0]
    assert f"{folder}/" in out.split("not written")[1].splitlines()[0]
    label(registry, photos, visualize=True, report=True)
    assert read_status(run).finished


def test_a_run_of_an_earlier_version_is_finished_by_its_folders(registry: Registry, photos: Path) -> None:
    run = label(registry, photos)
    (run / OUTPUTS).unlink()
    assert read_status(run).finished
    review_run(run, review(run), registry=registry)
    record = read_written(RunStore(run))
    assert record is not None and [*record.outputs] == ["coco"]
    assert len(json.loads((run / "coco/annotations.json").read_text())["annotations"]) == 3


def test_an_exporter_that_is_gone_leaves_its_files_marked_as_stale(
    registry: Registry, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = label(registry, photos)
    export_run(run, "csv", [], registry=registry)
    store = RunStore(run)
    plan = store.read_plan()
    assert plan is not None
    without = Registry({key: entry for key, entry in registry.entries.items() if entry.name != "csv"})
    mark_stale(store, plan)
    follow(store, plan, registry=without)
    assert read_status(run).outputs == {"coco": True, "csv": False}
    assert read_status(run).finished, "the plan does not ask for it"
    assert "csv is stale" in caplog.text
