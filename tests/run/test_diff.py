"""What changed between two runs over the same images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.errors import DataError, SpecError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.change import compare_image, compare_runs
from autolabel.run.diff import diff_runs
from autolabel.run.generate import generate
from autolabel.run.outputs import review_run
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image, Instances, Labels, Prompt
from tests.specs import make_spec

PHRASES = ("red", "blue")


def row(name: str, *objects: tuple[tuple[float, float, float, float], str, float]) -> Labels:
    found = Instances.build(
        [box for box, _, _ in objects],
        scores=[score for _, _, score in objects],
        labels=[PHRASES.index(phrase) for _, phrase, _ in objects],
    )
    return Labels(image=Image(id=name, path="", size=(100, 100)), prompt=Prompt(PHRASES), instances=found)


def kinds(before: Labels, after: Labels) -> list[str]:
    return sorted(change.kind for change in compare_image([before], [after]).changes)


def test_each_kind_of_change() -> None:
    before = row(
        "a",
        ((0, 0, 10, 10), "red", 0.9),
        ((20, 20, 40, 40), "red", 0.8),
        ((50, 50, 60, 60), "red", 0.7),
        ((80, 80, 90, 90), "blue", 0.6),
    )
    after = row(
        "a",
        ((0, 0.5, 10, 10), "red", 0.5),
        ((23, 20, 43, 40), "red", 0.8),
        ((50, 50, 60, 60), "blue", 0.7),
        ((0, 80, 9, 90), "blue", 0.6),
    )
    assert kinds(before, after) == ["gained", "kept", "lost", "moved", "relabelled"]


def test_one_class_goes_before_a_better_overlap_and_every_box_is_used_once() -> None:
    before = row("a", ((0, 0, 10, 10), "red", 0.9), ((0, 0, 10, 10), "blue", 0.8), ((0, 0, 10, 10), "red", 0.7))
    after = row("a", ((0, 0, 10, 10), "blue", 0.9), ((1.5, 0, 11.5, 10), "red", 0.9))
    assert kinds(before, after) == ["kept", "lost", "moved"]


def test_touching_boxes_below_the_overlap_are_other_objects() -> None:
    assert kinds(row("a", ((0, 0, 10, 10), "red", 1.0)), row("a", ((4, 0, 14, 10), "red", 1.0))) == ["gained", "lost"]


def test_the_most_changed_come_first_and_equal_ones_by_name() -> None:
    one, two = ((0.0, 0.0, 9.0, 9.0), "red", 0.95), ((50.0, 50.0, 90.0, 90.0), "blue", 0.15)
    before = [row("a"), row("b"), row("c", one), row("d"), row("x")]
    after = [row("a", one), row("b", one, two), row("c", one), row("d", two), row("e", one)]
    change = compare_runs(before, after, most=2)
    assert [(image.image, image.amount) for image in change.most] == [("b", 2), ("a", 1)]
    assert (change.images, change.changed, change.only_before, change.only_after) == (4, 3, 1, 1)
    assert change.kinds == {"gained": 4, "kept": 1}
    assert change.states == {("empty", "labelled"): 3}
    assert change.scores["gained"][9] == 2
    assert change.scores["gained"][1] == 2
    assert change.by_class["red"] == {"gained": 2, "kept": 1}


def label(registry: Registry, photos: Path, name: str, **changes: Any) -> Path:
    spec = make_spec(photos, photos.parent / name, classes=["red", "blue"], run={"num_workers": 1}) | changes
    loaded = spec_from_mapping(spec, root=photos.parent, registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry)
    return photos.parent / name


@pytest.fixture
def photos(tmp_path: Path, registry: Registry) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path / "photos"
    for index in range(3):
        shown = [Rectangle(3, 3, 20, 20, "red", 0.9), Rectangle(30, 30, 60, 60, "blue", 0.55)]
        save(folder / f"<b>{index}.png", shown[: 1 + index % 2])
    return folder


def test_runs_that_hand_out_other_boxes(registry: Registry, photos: Path) -> None:
    before = label(registry, photos, "before")
    after = label(registry, photos, "after", output={"filter": {"min_size": 25}})
    told = CliRunner().invoke(app, ["diff", str(before), str(after), "--json"])
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert (found["kept"], found["lost"], found["changed"]) == (1, 3, 3)
    assert found["images_most_changed"][0]["changes"][0]["before"]["phrase"] == "red"
    assert CliRunner().invoke(app, ["diff", str(before), str(after), "--raw", "--json"]).exit_code == 0
    assert diff_runs(before, after, raw=True).kinds == {"kept": 4}


def test_the_page_escapes_names_and_follows_a_review(registry: Registry, photos: Path, tmp_path: Path) -> None:
    before, after = label(registry, photos, "before"), label(registry, photos, "after")
    told = CliRunner().invoke(app, ["diff", str(before), str(after)])
    assert told.exit_code == 0
    page = after / "diff" / "index.html"
    assert "0 changed" in told.stdout
    assert "lost" in page.read_text()
    assert page.read_text().count("<figure") == 0
    first = json.loads((after / "labels.jsonl").read_text().splitlines()[0])
    box = first["instances"][0]
    decision = {"image": first["image"], "bbox": box["bbox"], "phrase": box["phrase"], "verdict": "reject"}
    (tmp_path / "review.json").write_text(json.dumps({"plan": first["plan"], "decisions": [decision]}))
    review_run(after, tmp_path / "review.json", registry=registry)
    text = page.read_text()
    assert text.count("<figure") == 1
    assert "&lt;b&gt;0.png" in text
    assert "<b>" not in text
    assert 'class="lost was"' in text


def test_one_run_and_runs_without_a_common_image_are_refused(registry: Registry, photos: Path, tmp_path: Path) -> None:
    from autolabel_colors import Rectangle, save

    before = label(registry, photos, "before")
    with pytest.raises(SpecError, match="are one run"):
        diff_runs(before, photos / ".." / "before")
    save(tmp_path / "others" / "z.png", [Rectangle(3, 3, 20, 20, "red", 0.9)])
    with pytest.raises(DataError, match=r"no image in common: one has '<b>0.png', the other 'z.png'"):
        diff_runs(before, label(registry, tmp_path / "others", "elsewhere"))


def test_a_run_that_hands_out_no_image_is_told(registry: Registry, photos: Path, tmp_path: Path) -> None:
    before, after = label(registry, photos, "before"), label(registry, photos, "after")
    plan = json.loads((after / "plan.json").read_text())["digest"]
    rejected = [{"image": f"<b>{index}.png", "verdict": "reject"} for index in range(3)]
    (tmp_path / "review.json").write_text(json.dumps({"plan": plan, "decisions": rejected}))
    review_run(after, tmp_path / "review.json", registry=registry)
    with pytest.raises(DataError, match=r"one has '<b>0.png', the other none"):
        diff_runs(before, after)
