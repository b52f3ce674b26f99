"""Least scores by class: applied to what a run hands out, never to what it has labelled; one spec field for all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli.app import app
from autolabel.errors import SpecError
from autolabel.plan.compile import compile_plan
from autolabel.plan.files import check_files
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.run.calibrate import calibrate_run, quoted
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.run.outputs import report_run
from autolabel.spec.load import load_spec, spec_from_mapping
from autolabel.spec.thresholds import read_thresholds
from tests.specs import make_spec

Spec = dict[str, Any]


@pytest.fixture
def spec(tmp_path: Path, example_path: str) -> Spec:
    """Forty pictures with a red rectangle that scores 0.9 and a blue one that scores 0.45; a run of them."""
    from autolabel_colors import Rectangle, save

    for index in range(40):
        rectangles = [Rectangle(2, 3, 20, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.45)]
        save(tmp_path / "photos" / f"{index:02}.png", rectangles)
    return make_spec(
        tmp_path / "photos",
        tmp_path / "run",
        classes=["red", "blue", "green"],
        stages=[{"labeler": {"type": "colors"}, "scheduler": {"type": "fixed", "rounds": RISING}, "ask": "all"}],
        run={"shard_size": 20},
        export=[{"type": "coco"}],
    )


RISING = [{"conf_threshold": 0.5}, {"conf_threshold": 0.2}]


def run(registry: Registry, spec: Spec, **output: Any) -> None:
    loaded = spec_from_mapping({**spec, "output": output}, root=Path.cwd(), registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry)


def exported(spec: Spec) -> Counter[str]:
    data = json.loads((Path(spec["results_dir"]) / "coco" / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in data["categories"]}
    return Counter(names[annotation["category_id"]] for annotation in data["annotations"])


def truth_of(spec: Spec, tmp_path: Path, *, images: int) -> Path:
    """A checked part of the run: every red rectangle is there, none that is blue."""
    data: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "RED"}]}
    data["categories"].append({"id": 2, "name": "blue"})
    for number in range(1, images + 1):
        data["images"].append({"id": number, "file_name": f"{number - 1:02}.png", "height": 64, "width": 64})
        box = {"id": number, "image_id": number, "category_id": 1, "bbox": [2, 3, 18, 17], "area": 306, "iscrowd": 0}
        data["annotations"].append(box)
    path = tmp_path / "checked.json"
    path.write_text(json.dumps(data))
    return path


def test_thresholds_filter_exports_and_label_nothing_again(registry: Registry, spec: Spec) -> None:
    run(registry, spec)
    root = Path(spec["results_dir"])
    before = (root / "labels.jsonl").read_bytes()
    shards = {path: path.stat().st_mtime_ns for path in (root / "stages").rglob("*.jsonl")}
    assert exported(spec) == {"red": 40, "blue": 40}
    run(registry, spec, thresholds={"blue": 0.46})
    assert exported(spec) == {"red": 40}
    run(registry, spec, thresholds={"blue": 0.45, "red": 1})
    assert exported(spec) == {"blue": 40}, "a score that equals the threshold stays"
    assert (root / "labels.jsonl").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in shards} == shards


def test_a_file_of_thresholds_serves_a_spec_an_override_and_an_export(
    registry: Registry, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "least.yaml"
    file.write_text("# mine\nred: 0.95\n")
    run(registry, spec, thresholds=str(file))
    assert exported(spec) == {"blue": 40}
    export_run(Path(spec["results_dir"]), "coco", [], registry=registry)
    assert exported(spec) == {"blue": 40}, "the run's own thresholds hold for later exports"
    file.write_text("blue: 0.95")
    export_run(Path(spec["results_dir"]), "coco", [], registry=registry, thresholds=file)
    assert exported(spec) == {"red": 40}, "a file that is named takes their place"
    written = tmp_path / "elsewhere" / "spec.yaml"
    written.parent.mkdir()
    written.write_text(json.dumps(spec))
    monkeypatch.chdir(tmp_path)
    loaded = load_spec(written, overrides=["output.thresholds=least.yaml"], registry=registry)
    assert compile_plan(loaded, registry=registry).plan.outputs.thresholds == {"blue": 0.95}
    loaded = load_spec(written, overrides=["output.thresholds.green=0.3"], registry=registry)
    assert compile_plan(loaded, registry=registry).plan.outputs.thresholds == {"green": 0.3}


def test_thresholds_are_no_part_of_the_digest(registry: Registry, spec: Spec) -> None:
    plans = [
        compile_plan(spec_from_mapping({**spec, "output": output}, root="/", registry=registry), registry=registry).plan
        for output in ({}, {"thresholds": {"red": 0.4}})
    ]
    assert plans[0].digest == plans[1].digest


def test_what_a_person_kept_stays_and_the_report_shows_what_is_exported(
    registry: Registry, spec: Spec, tmp_path: Path
) -> None:
    run(registry, spec)
    root = Path(spec["results_dir"])
    kept = {"image": "07.png", "bbox": [30, 30, 50, 60], "phrase": "blue", "verdict": "keep"}
    (root / "review.json").write_text(json.dumps({"plan": "x", "decisions": [kept]}))
    run(registry, spec, thresholds={"blue": 0.5})
    assert exported(spec) == {"red": 40, "blue": 1}
    page = report_run(root).read_bytes().decode()
    assert '"rows"' in page and page.count("0.45") < 40 and "41" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "red: 0.5\nbluish: 0.5\n",
            r"least.yaml:2:1: bluish: is not a class of this run\n  hint: did you mean 'blue'\?",
        ),
        ("red: 1.5\n", r"least.yaml:1:1: red: found 1.5, wanted at most 1"),
        ("red: high\n", r"least.yaml:1:1: red: found 'high', wanted a number"),
        ("[red, 0.5]\n", r"least.yaml:1:1: found a list, wanted a mapping"),
        ("red: 0.5\nred: 0.6\n", r"least.yaml:2:1: .*red"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "least.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=message):
        read_thresholds(file, classes=["red", "blue"])


def test_wrong_thresholds_in_a_spec_are_told_by_validate_with_their_place(
    registry: Registry, spec: Spec, tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    for thresholds, message in (
        (
            "{redd: 0.5}",
            r"spec.yaml:1:\d+: output.thresholds.redd: is not a class of this run\n  hint: did you mean 'red'",
        ),
        ("nowhere.yaml", r"spec.yaml:1:\d+: output.thresholds: no such file: .*nowhere.yaml"),
        ("least.yaml", r"least.yaml:2:3: pink: is not a class of this run\n  hint: known here: red, blue, green"),
    ):
        (tmp_path / "least.yaml").write_text("---\n  pink: 0.5\n")
        path.write_text(json.dumps(spec)[:-1] + f', "output": {{"thresholds": {thresholds}}}}}')
        with pytest.raises(SpecError, match=message):
            check_files(load_spec(path, registry=registry))


def test_calibrate_writes_a_file_that_the_run_then_keeps_to(registry: Registry, spec: Spec, tmp_path: Path) -> None:
    run(registry, spec)
    out = tmp_path / "thresholds.yaml"
    truth = truth_of(spec, tmp_path, images=40)
    result = calibrate_run(Path(spec["results_dir"]), truth, precision=0.9, confidence=0.95, iou=0.5, out=out)
    assert result.thresholds == {"red": 0.9}
    assert read_thresholds(out, classes=["red", "blue", "green"]) == {"red": 0.9}
    assert '# "blue": no threshold can be promised' in out.read_text()
    run(registry, spec, thresholds=str(out))
    assert exported(spec) == {"red": 40, "blue": 40}


def test_what_the_size_filter_drops_is_not_calibrated(registry: Registry, spec: Spec, tmp_path: Path) -> None:
    run(registry, spec, filter={"max_size": 20})
    truth = truth_of(spec, tmp_path, images=40)
    result = calibrate_run(
        Path(spec["results_dir"]), truth, precision=0.9, confidence=0.95, iou=0.5, out=tmp_path / "out.yaml"
    )
    assert {one.name: one.boxes for one in result.classes} == {"red": 40, "blue": 0}


@pytest.mark.parametrize(
    "name", ["plain", 'q"b\\', "yes", "1", "größe", "a\n\tb", "a\u2028b", "😀", "a: b # c", "\x7f"]
)
def test_any_class_name_survives_the_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "least.yaml"
    file.write_text(f"{quoted(name)}: 0.5\n", encoding="utf-8")
    assert read_thresholds(file) == {name: 0.5}


Invoke = Callable[..., Any]


@pytest.fixture
def cli(example_path: str) -> Invoke:
    from typer.testing import CliRunner

    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_commands_work_together(
    cli: Invoke, registry: Registry, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(registry, spec)
    truth = truth_of(spec, tmp_path, images=40)
    done = cli("calibrate", "run", "--gt", truth, "--precision", 0.9, "--json")
    answer = json.loads(done.output)
    assert done.exit_code == 1, "blue cannot be promised"
    assert [one["threshold"] for one in answer["classes"]] == [0.9, None]
    assert (answer["written"], answer["classes"][1]["more_images"]) == ("thresholds.yaml", None)
    done = cli("calibrate", "run", "--gt", truth_of(spec, tmp_path, images=10), "--out", "other.yaml")
    assert done.exit_code == 1
    assert "check about" in done.output and "10 checked images" in done.output
    (tmp_path / "strict.yaml").write_text("blue: 0.9")
    assert cli("export", "run", "coco", "--thresholds", "strict.yaml").exit_code == 0
    assert exported(spec) == {"red": 40}
    plain = json.loads(cli("evaluate", "run", "--gt", truth, "--json").output)
    strict = json.loads(cli("evaluate", "run", "--gt", truth, "--thresholds", "strict.yaml", "--json").output)
    assert (plain["total"]["precision"], strict["total"]["precision"]) == (0.5, 1.0)
    assert sum(len(labels.instances) for labels in read_labels("run")) == 80
