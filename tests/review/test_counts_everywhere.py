"""What was decided counts in every measurement and in everything that is handed out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli.app import app
from autolabel.errors import DataError, SpecError
from autolabel.registry import Registry
from autolabel.results.decision import Decision, Review, encode_review
from autolabel.results.store import RunStore
from autolabel.results.written import read_written
from autolabel.run.calibrate import calibrate_run
from autolabel.run.evaluate import evaluate_run
from autolabel.run.export import export_run
from autolabel.run.outputs import review_run

RED, BLUE = (2.0, 3.0, 20.0, 20.0), (30.0, 30.0, 50.0, 60.0)


def call(*words: str, exits: int = 0) -> None:
    with pytest.raises(SystemExit) as left:
        app(list(words))
    assert left.value.code == exits


def box(image: str, phrase: str, place: Any, verdict: str = "keep", **fields: Any) -> Decision:
    return Decision.model_validate({"image": image, "phrase": phrase, "bbox": place, "verdict": verdict, **fields})


def apply(run: Path, registry: Registry, *decisions: Decision, **options: Any) -> Any:
    path = run.parent / "decisions.json"
    path.write_bytes(encode_review(Review(version=2, plan="other", decisions=decisions)))
    return review_run(run, path, registry=registry, **options)


def truth(run: Path) -> Path:
    """A red square in the first two images, where the run has a red and a blue one."""
    file = run.parent / "truth.json"
    red = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 18, 17], "area": 306, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [3, 3, 18, 17], "area": 306, "iscrowd": 0},
    ]
    images = [{"id": one + 1, "file_name": f"{one:02}.png", "width": 64, "height": 64} for one in range(2)]
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    file.write_text(json.dumps({"images": images, "annotations": red, "categories": categories}))
    return file


def test_evaluate_measures_what_is_handed_out_and_says_so(
    run: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    gt = str(truth(run))
    before, what = evaluate_run(run, gt)
    assert (before.total.found, before.total.right) == (4, 2) and what == "the exported labels"
    apply(run, registry, box("00.png", "blue", BLUE, "reject"), box("01.png", "blue", BLUE, "reject"))
    after, what = evaluate_run(run, gt)
    assert (after.total.found, after.total.right) == (2, 2)
    assert what == "the exported labels: 2 decisions applied"
    raw, what = evaluate_run(run, gt, raw=True)
    assert (raw.total.found, raw.total.right) == (4, 2) and what == "what the models said"
    call("evaluate", str(run), "--gt", gt, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["measured"].endswith("2 decisions applied") and told["total"]["precision"] == 1
    assert told["total"]["interval"]["precision"] == [1, 1]
    call("evaluate", str(run), "--gt", gt, "--raw")
    assert "measured: what the models said" in capsys.readouterr().out


def test_thresholds_have_no_place_beside_raw(run: Path) -> None:
    with pytest.raises(SpecError, match="--raw"):
        evaluate_run(run, str(truth(run)), raw=True, thresholds=Path("x.yaml"))


def test_the_runs_own_checked_images_are_truth(run: Path, registry: Registry) -> None:
    apply(
        run,
        registry,
        *(one for name in ("00.png", "01.png") for one in (Decision(image=name, verdict="checked"),)),
        box("00.png", "red", RED),
        box("01.png", "red", (3.0, 3.0, 21.0, 20.0)),
        box("01.png", "green", (0.0, 40.0, 9.0, 50.0)),
        box("02.png", "red", (4.0, 3.0, 22.0, 20.0), "reject"),
    )
    for gt in (None, str(run)):
        found, what = evaluate_run(run, gt)
        assert what == "the exported labels: before any decision"
        assert (found.images, found.total.true, found.total.found, found.total.right) == (2, 3, 4, 2)
    result = calibrate_run(run, None, precision=0.5, confidence=0.5, iou=0.5, out=run.parent / "t.yaml")
    assert result.images == 2


def test_checked_images_of_another_run_are_truth(run: Path, labelled: Path, registry: Registry) -> None:
    apply(run, registry, Decision(image="00.png", verdict="checked"), box("00.png", "red", RED))
    found, what = evaluate_run(labelled, str(run))
    assert (found.images, found.total.found, found.total.right) == (1, 2, 1) and what == "the exported labels"


def test_nothing_is_checked(run: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match="no image of this run is checked"):
        evaluate_run(run, None)
    with pytest.raises(DataError, match="no image of this run is checked"):
        export_run(run, "coco", [], registry=registry, checked=True)


def test_checked_images_are_exported_and_the_export_follows(run: Path, registry: Registry) -> None:
    apply(run, registry, Decision(image="00.png", verdict="checked"), box("00.png", "red", RED))
    export_run(run, "yolo", [], registry=registry, checked=True)

    def files() -> list[str]:
        return sorted(path.name for path in (run / "yolo" / "labels").rglob("*.txt"))

    assert files() == ["00.txt"]
    apply(run, registry, Decision(image="05.png", verdict="checked"), Decision(image="04.png", verdict="reject"))
    assert files() == ["00.txt", "05.txt"]
    record = read_written(RunStore(run))
    assert record is not None and record.outputs["yolo"].checked and record.outputs["yolo"].current


def test_pictures_show_what_was_decided(run: Path, registry: Registry) -> None:
    from autolabel.results.store import finished
    from autolabel.run.outputs import write_annotated

    write_annotated(*finished(run))
    before = {path.name: path.read_bytes() for path in (run / "images_annotated").iterdir()}
    apply(run, registry, box("00.png", "red", RED, "reject"), Decision(image="01.png", verdict="reject"))
    after = {path.name: path.read_bytes() for path in (run / "images_annotated").iterdir()}
    assert len(before) - len(after) == 1, "an image that is left out has no picture"
    assert len([name for name in after if after[name] != before[name]]) == 1


def test_typos_are_errors_with_the_nearest_name(run: Path, registry: Registry) -> None:
    with pytest.raises(DataError) as caught:
        apply(run, registry, box("00.png", "bleu", BLUE), box("O1.png", "red", RED), box("00.png", "red", RED))
    image, phrase = caught.value.problems
    assert (
        "'O1.png' is not an image" in image.message and "'01.png'" in image.hint and image.path == "/decisions/1/image"
    )
    assert "'bleu' is not a class" in phrase.message and "'blue'" in phrase.hint
    assert not (run / "review.jsonl").exists(), "nothing is applied"


def test_unknown_ones_are_left_out_where_that_is_asked(run: Path, registry: Registry) -> None:
    taken, standing = apply(
        run,
        registry,
        box("00.png", "bleu", BLUE),
        box("O1.png", "red", RED),
        box("00.png", "red", RED),
        skip_unknown=True,
    )
    assert taken.left_out == 2 and [one.phrase for one in standing.decisions] == ["red"]


def test_classes_are_mapped(run: Path, registry: Registry) -> None:
    changed = box("00.png", "azure", BLUE, becomes={"phrase": "crimson"})
    _, standing = apply(run, registry, changed, names={"azure": "blue", "crimson": "red"})
    [one] = standing.decisions
    assert (one.phrase, one.final_phrase) == ("blue", "red")


def test_decisions_carried_to_other_classes_are_counted_by_command(run: Path, capsys: Any) -> None:
    file = run.parent / "decisions.json"
    said = (box("00.png", "azure", BLUE, "reject"), box("01.png", "plum", BLUE), box("02.png", "plum", BLUE))
    file.write_bytes(encode_review(Review(version=2, plan="other", decisions=said)))
    with pytest.raises(DataError, match="'plum' is not a class"):
        app(["apply-review", str(run), str(file), "--map", "azure=blue"])
    assert not (run / "review.jsonl").exists()
    call("apply-review", str(run), str(file), "--map", "azure=blue", "--skip-unknown")
    told = " ".join(capsys.readouterr().out.split())
    assert "2 decisions did not match" in told and "1 decision about" in told
    annotations = json.loads((run / "coco" / "annotations.json").read_text())["annotations"]
    assert len(annotations) == 9


def test_a_dry_run_changes_nothing(run: Path, registry: Registry) -> None:
    taken, standing = apply(run, registry, box("00.png", "red", RED, "reject"), dry_run=True)
    assert len(taken.decisions) == 1 and standing.decisions == ()
    assert not (run / "review.jsonl").exists() and not (run / "review.json").exists()


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("count", [4_000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_many_decisions_about_one_image(run: Path, registry: Registry, count: int, near: bool, calls: Any) -> None:
    """A second file joins the first in time that grows with their number, not its square, wherever the boxes lie."""
    size, spread = (30, 100) if near else (0.2, 4)
    corners = [(index % 250 / spread, index // 250 / spread) for index in range(2 * count)]
    decisions = [box("00.png", "red", (x, y, x + size, y + size)) for x, y in corners]
    apply(run, registry, *decisions[:count])
    with calls:
        apply(run, registry, *decisions[count:])
    assert calls.made < 600 * count
