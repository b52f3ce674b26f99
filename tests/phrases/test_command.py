"""``autolabel phrases``: from a spec and checked images to the words that work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.cli.schemas import SCHEMAS, schema_text
from autolabel.errors import DataError, SpecError
from autolabel.phrases.compare import PhrasesToCompare, compare_phrases
from autolabel.phrases.comparison import ClassComparison, PhraseComparison
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec, spec_from_mapping
from tests.phrases.lamps import IMAGES, write
from tests.specs import make_spec

ROOT = Path(__file__).resolve().parents[2]


def compared(path: Path, registry: Registry, **wanted: Any) -> PhraseComparison:
    spec = load_spec(path, registry=registry)
    plan = compile_plan(spec, registry=registry)
    return compare_phrases(
        spec, plan, str(path.parent / "truth.json"), wanted=PhrasesToCompare(**wanted), registry=registry
    )


def of(told: PhraseComparison, name: str) -> ClassComparison:
    return next(one for one in told.classes if one.name == name)


def test_a_better_phrase_is_found_and_said_to_be_better(folder: Path, registry: Registry) -> None:
    told = compared(write(folder), registry, tried={"lamp": ["yellow", "magenta"]})
    lamp = of(told, "lamp")
    assert (told.images, told.failed, lamp.true, lamp.images) == (IMAGES, 0, IMAGES // 2, IMAGES // 2)
    assert lamp.wordings[lamp.winner].phrases == ("yellow",) and lamp.better and lamp.advised == ("yellow",)
    assert (lamp.penalty, lamp.stable) == (0, 1)
    assert lamp.confirmed is not None and (lamp.confirmed.today, lamp.confirmed.ap) == (0, 1)
    figures = {one.phrases: (one.ap, one.f1, one.false_alarms, one.alarms_in_empty) for one in lamp.wordings}
    assert figures["yellow",] == (1, 1, 0, 0) and figures["red",][0] == 0
    assert figures["magenta",] == (0, 0, 0, 0)
    assert figures["red", "yellow"][2:] == (0, 0), "its best threshold leaves the red ones out"
    assert of(told, "door").advised == ("blue",)


def test_no_phrase_is_better_is_an_answer(folder: Path, registry: Registry) -> None:
    told = compared(write(folder, data={"classes": {"lamp": ["yellow"], "door": ["blue"]}}), registry)
    assert not any(one.better or one.confirmed for one in told.classes)
    assert all(one.wordings[one.winner].today and one.penalty is None for one in told.classes)
    words = ["phrases", str(folder / "spec.yaml"), "--gt", str(folder / "truth.json")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.output.count("no phrase is better than the current ones") == 2


def test_several_phrases_of_today_count_together(folder: Path, registry: Registry) -> None:
    told = compared(write(folder, data={"classes": {"lamp": ["red", "yellow"]}}), registry, built_in=False)
    assert of(told, "lamp").today.phrases == ("red", "yellow") and of(told, "lamp").today.ap == 1
    assert {one.phrases for one in of(told, "lamp").wordings} == {("red", "yellow"), ("red",), ("yellow",)}


def test_the_spec_and_its_run_are_left_alone(folder: Path, registry: Registry) -> None:
    path = write(folder)
    generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    words = ["phrases", str(path), "--gt", str(folder / "truth.json"), "--try", "lamp=yellow"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert "better than the current phrases: by 1.000, or 1.000 without that bias" in done.stdout
    block = done.stdout[done.stdout.index("\nclasses:\n") :]
    assert YAML().load(block)["classes"] == {"lamp": ["yellow"], "door": {"phrases": ["blue"], "negatives": ["cyan"]}}


def test_the_truth_may_be_a_run_with_checked_images(folder: Path, registry: Registry) -> None:
    path = write(folder)
    generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry)
    unchecked = CliRunner().invoke(app, ["phrases", str(path), "--gt", str(folder / "run")])
    assert isinstance(unchecked.exception, DataError) and "no image of this run is checked" in str(unchecked.exception)
    taken = CliRunner().invoke(app, ["apply-review", str(folder / "run"), str(folder / "truth.json")])
    assert taken.exit_code == 0, taken.output
    words = ["phrases", str(path), "--gt", str(folder / "run"), "--try", "lamp=yellow", "--no-built-in", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["images"] == IMAGES and [one["true"] for one in values["classes"]] == [IMAGES // 2, IMAGES]
    assert values["classes"][0]["better"] is True and "lamp: [yellow]" in values["block"]


def test_the_block_is_a_part_of_a_spec(folder: Path, registry: Registry) -> None:
    path, out = write(folder), folder / "classes.yaml"
    words = ["phrases", str(path), "--gt", str(folder / "truth.json"), "--try", "lamp=yellow", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and done.stdout.rstrip().endswith("classes.yaml") and "\nclasses:\n" not in done.stdout
    spec = json.loads(path.read_text())
    spec["data"] |= YAML(typ="safe").load(out.read_text())
    made = spec_from_mapping(spec, root=folder, registry=registry)
    assert {name: terms.phrases for name, terms in made.data.ontology().items()} == {
        "lamp": ("yellow",),
        "door": ("blue",),
    }


def test_names_that_yaml_reads_otherwise_survive(folder: Path, registry: Registry) -> None:
    odd = {"no": ["yellow"], "5": ["a: b", "#1 blue"], "lamp": ["on"]}
    truth = json.loads((folder / "truth.json").read_text())
    truth["categories"] = [{"id": 1, "name": "no"}, {"id": 2, "name": "5"}]
    (folder / "truth.json").write_text(json.dumps(truth))
    told = compared(write(folder, data={"classes": odd}), registry, built_in=False)
    read = YAML(typ="safe").load(told.block)["classes"]
    assert {str(name): [str(one) for one in phrases] for name, phrases in read.items()} == odd
    assert all(isinstance(name, str) for name in read) and isinstance(read["lamp"][0], str)


def test_json_keeps_to_the_published_schema(folder: Path, registry: Registry) -> None:
    words = ["phrases", str(write(folder)), "--gt", str(folder / "truth.json"), "--try", "lamp=yellow", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    jsonschema.validate(values, SCHEMAS["phrases"]())
    assert values["classes"][0]["better"] is True and values["classes"][0]["confirmed"]["ap"] == 1
    assert (ROOT / "schema" / "phrases.schema.json").read_text() == schema_text("phrases")


def test_phrases_are_asked_in_the_company_that_the_spec_gives_them(folder: Path, registry: Registry) -> None:
    told = compared(write(folder), registry, classes=("lamp",), built_in=False, tried={"lamp": ["yellow"]})
    assert [one.name for one in told.classes] == ["lamp"] and told.phrases == 4, "red, yellow, blue, and cyan"


@pytest.mark.parametrize("count", [20, pytest.param(1, marks=pytest.mark.soak)])
def test_twenty_phrases_take_the_passes_of_one(registry: Registry, count: int, tmp_path: Path) -> None:
    """Vision once an image, and one question for all phrases: counted, with the shipped detector."""
    photos = ROOT / "examples" / "bccd"
    spec = make_spec(
        photos / "images",
        tmp_path / "run",
        classes=["platelet"],
        stages=[{"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}}],
        run={"batch_size": 2, "threads": 1},
    )
    loaded = spec_from_mapping(spec, root=tmp_path, registry=registry)
    plan = compile_plan(loaded, registry=registry, limit=2)
    tried = [f"platelet {number}" for number in range(1, count)]
    wanted = PhrasesToCompare(tried={"platelet": tried}, built_in=False)
    told = compare_phrases(loaded, plan, str(photos / "boxes.json"), wanted=wanted, registry=registry)
    assert (told.images, told.phrases) == (2, count)
    assert (told.passes["vision_passes"], told.passes["forward_passes"]) == (2, 2)
    assert len([one for one in of(told, "platelet").wordings if len(one.phrases) == 1]) == count


def test_looks_of_the_spec_are_asked_too(folder: Path, registry: Registry) -> None:
    stage = {"labeler": {"type": "colors"}, "looks": ["plain", {"darker": 0.8}]}
    told = compared(write(folder, stages=[stage]), registry, tried={"lamp": ["yellow"]}, built_in=False)
    assert of(told, "lamp").advised == ("yellow",) and told.passes["forwards"] == 2 * IMAGES
    threshold = of(told, "lamp").wordings[0].threshold
    assert threshold is not None and threshold < 0.9, "a dim look lowers it: the looks have a say in the score"


def test_kept_candidates_answer_a_second_time(folder: Path, registry: Registry) -> None:
    path = write(folder, run={"candidates": str(folder / "kept")})
    first = compared(path, registry, tried={"lamp": ["yellow"]})
    again = compared(path, registry, tried={"lamp": ["yellow"]})
    assert first.passes["forwards"] == IMAGES and again.passes["forwards"] == 0
    assert again.classes == first.classes


def test_images_that_fail_are_counted_and_stop_nothing(folder: Path, registry: Registry) -> None:
    stage = {"labeler": {"type": "colors", "fail_on": ["03.png"]}}
    path = write(folder, stages=[stage])
    (folder / "photos" / "05.png").write_bytes((folder / "photos" / "05.png").read_bytes()[:120])
    told = compared(path, registry, tried={"lamp": ["yellow"]})
    assert (told.images, told.failed) == (IMAGES - 2, 2) and of(told, "lamp").advised == ("yellow",)
    everything = {"labeler": {"type": "colors", "fail_on": [f"{number:02}.png" for number in range(IMAGES)]}}
    with pytest.raises(DataError, match="the detector failed on all checked images"):
        compared(write(folder, stages=[everything]), registry)


def test_a_class_that_no_checked_image_holds_is_left_alone(folder: Path, registry: Registry) -> None:
    truth = json.loads((folder / "truth.json").read_text())
    truth["annotations"] = [one for one in truth["annotations"] if one["category_id"] == 2]
    (folder / "truth.json").write_text(json.dumps(truth))
    words = ["phrases", str(write(folder)), "--gt", str(folder / "truth.json"), "--try", "lamp=yellow"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "nothing can be compared: no checked image holds one" in done.stdout
    assert "lamp: [red]" in done.stdout


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ([], SpecError, "phrases need checked images to be compared on"),
        (["--gt", "TRUTH", "--try", "yellow"], SpecError, "--try yellow: names no class"),
        (["--gt", "TRUTH", "--try", "lamp= "], SpecError, "names no class"),
        (["--gt", "TRUTH", "--try", "lapm=yellow"], SpecError, "the spec has no class 'lapm'"),
        (["--gt", "TRUTH", "--class", "lapm"], SpecError, "the spec has no class 'lapm'"),
        (["--gt", "TRUTH", "--class", "wall"], DataError, "the truth has no such class"),
    ],
)
def test_what_cannot_be_compared_is_said(folder: Path, words: list[str], error: type, message: str) -> None:
    path = write(folder, data={"classes": {"lamp": ["red"], "door": ["blue"], "wall": ["white"]}})
    given = [word.replace("TRUTH", str(folder / "truth.json")) for word in words]
    done = CliRunner().invoke(app, ["phrases", str(path), *given])
    assert isinstance(done.exception, error) and message in str(done.exception)


def test_one_class_needs_no_name_before_its_phrase(folder: Path) -> None:
    words = ["phrases", str(write(folder)), "--gt", str(folder / "truth.json"), "--class", "lamp", "--try", "yellow"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "yellow <- best" in done.stdout


def test_captions_have_no_classes_to_compare(folder: Path, registry: Registry) -> None:
    (folder / "captions.jsonl").write_text('{"file_name": "00.png", "caption": "a lamp"}\n')
    spec = json.loads(write(folder).read_text())
    spec["data"] = {"images": ["photos"], "captions": "captions.jsonl"}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    with pytest.raises(SpecError, match="phrases are compared for the classes that a detector is asked for"):
        compared(folder / "spec.yaml", registry)
