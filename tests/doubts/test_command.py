"""``autolabel doubts``, and a review that goes by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.doubts.doubt import doubts_schema
from autolabel.errors import DataError, SpecError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.decision import Decision
from autolabel.results.store import finished
from autolabel.review.doubtful import limit_to_doubts
from autolabel.review.session import ReviewSession
from autolabel.run.generate import generate
from autolabel.run.outputs import review_run
from autolabel.spec.load import spec_from_mapping

LAST = 29
IMAGES = 31


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """Pictures of a red and a blue rectangle each, the red one of the last less sure; the first is there twice."""
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("doubts")
    for index in range(LAST + 1):
        left = 2 + index % 7
        sure = 0.55 if index == LAST else 0.7 + index / 200
        red = Rectangle(left, 3, left + 20, 23 + index % 5, "red", sure)
        save(folder / "photos" / f"{index:02}.png", [red, Rectangle(30, 30, 52 + index % 3, 60, "blue", 0.9)])
    shutil.copy(folder / "photos" / "00.png", folder / "photos" / "copy of 00.png")
    spec = {
        "version": 1,
        "data": {"images": [str(folder / "photos")], "classes": ["red", "blue"]},
        "stages": [{"labeler": {"type": "colors"}}],
        "devices": "cpu",
        "export": [{"type": "coco"}],
        "results_dir": str(folder / "run"),
    }
    generate(
        compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry), registry=registry
    )
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def truth(run: Path, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Write the run's own labels as a truth, changed."""

    def write(change: Callable[[Any], None]) -> Path:
        document = json.loads((run / "coco/annotations.json").read_text())
        change(document)
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(document))
        return path

    return write


def told(*words: object) -> Any:
    """Return what the command says."""
    done = CliRunner().invoke(app, ["doubts", *map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    jsonschema.validate(answer, doubts_schema())
    return answer


def lacking(image: str, name: str) -> Callable[[Any], None]:
    """Return a change that removes the boxes of a class from an image."""

    def change(document: Any) -> None:
        number = next(one["id"] for one in document["images"] if one["file_name"] == image)
        category = next(one["id"] for one in document["categories"] if one["name"] == name)
        document["annotations"] = [
            one for one in document["annotations"] if (one["image_id"], one["category_id"]) != (number, category)
        ]

    return change


def test_a_box_that_the_truth_lacks_comes_first(run: Path, truth: Callable[..., Path]) -> None:
    answer = told(run, "--gt", truth(lacking("07.png", "blue")))
    first = answer["boxes"][0]
    assert (first["image"], first["kind"], first["phrase"]) == ("07.png", "missing", "blue")
    assert answer["images"][0]["image"] == "07.png"
    assert (answer["images_compared"], answer["boxes_compared"]) == (IMAGES, 2 * IMAGES - 1)


def test_the_labels_of_a_run_are_doubted_by_score_and_answers(run: Path) -> None:
    answer = told(run)
    assert answer["truth"] is None
    assert (answer["boxes"][0]["image"], answer["boxes"][0]["phrase"]) == (f"{LAST}.png", "red")
    assert len(answer["images"]) == IMAGES


def test_what_a_person_has_kept_is_not_doubted(run: Path, registry: Registry) -> None:
    first = told(run)["boxes"][0]
    kept = Decision(image=first["image"], bbox=tuple(first["bbox"]), phrase=first["phrase"], verdict="keep")
    from autolabel.results.decision import VERSION, Review
    from autolabel.results.review import encode_review

    file = run.parent / "review.json"
    file.write_bytes(encode_review(Review(version=VERSION, plan="", decisions=(kept,))))
    review_run(run, file, registry=registry)
    again = told(run)
    assert first not in again["boxes"] and len(again["boxes"]) == 2 * IMAGES - 1


def test_most_limits_both_lists(run: Path) -> None:
    answer = told(run, "--most", 3)
    assert (len(answer["boxes"]), len(answer["images"]), answer["images_compared"]) == (3, 3, IMAGES)


def test_near_duplicates_with_other_labels(run: Path, truth: Callable[..., Path]) -> None:
    file = truth(lacking("00.png", "red"))
    by_name = {one["image"]: one for one in told(run, "--gt", file)["images"]}
    copy = by_name["copy of 00.png"]
    assert by_name["00.png"]["differs"] == 1 and (copy["twin"], copy["differs"]) == ("00.png", 1)
    assert all(one["twin"] is None for one in told(run, "--gt", file, "--no-near-duplicates")["images"])


def test_people_read_it(run: Path, truth: Callable[..., Path]) -> None:
    file = truth(lacking("07.png", "blue"))
    done = CliRunner().invoke(app, ["doubts", str(run), "--gt", str(file)], catch_exceptions=False)
    assert "found, but not labelled" in done.stdout and f"--next doubts --gt {file}" in done.stdout


def test_a_review_goes_by_the_same_ranking(run: Path, truth: Callable[..., Path]) -> None:
    file = truth(lacking("07.png", "blue"))
    wanted = [one["image"] for one in told(run, "--gt", file)["images"]]
    session = ReviewSession(*finished(run))
    [said] = limit_to_doubts(session, str(file))
    assert [session.index.name(row) for row in session.images or ()] == wanted and wanted[0] == "07.png"
    assert said.startswith(f"{IMAGES} images")
    session.index.close()


def test_a_truth_without_a_doubtful_order_has_no_place(run: Path) -> None:
    with pytest.raises(SpecError, match="--next doubts"):
        CliRunner().invoke(app, ["review", str(run), "--gt", "x.json"], catch_exceptions=False)


def test_a_truth_of_other_images_is_an_error(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    categories = [{"id": 1, "name": "red"}]
    images = [{"id": 1, "file_name": "zebra.png", "width": 64, "height": 64}]
    other.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    with pytest.raises(DataError, match="none of its 1 images is in the run"):
        CliRunner().invoke(app, ["doubts", str(run), "--gt", str(other)], catch_exceptions=False)
