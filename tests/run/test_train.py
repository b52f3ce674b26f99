"""What `autolabel train` learns from, what it keeps apart, what it refuses, and what it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.duplicates import Groups
from autolabel.errors import DataError, MachineError, SpecError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.decision import Becomes, Decision, Review, encode_review
from autolabel.run.generate import generate
from autolabel.run.outputs import review_run
from autolabel.run.train import train
from autolabel.run.training_material import Material, dev_part, read_material
from autolabel.spec.load import spec_from_mapping
from autolabel.strategies import FineTuning, Labeler
from autolabel.types import Image, Instances, Labels, Prompt
from autolabel.weights import licence_of
from autolabel_training.photo import TrainingPhoto
from tests.specs import make_spec

CELLS = Path(__file__).parents[2] / "examples" / "bccd"


def row(name: str, boxes: int = 1) -> Labels:
    instances = Instances.build([[0, 0, 5, 5]] * boxes, scores=[1.0] * boxes, labels=[0] * boxes, rounds=-1)
    return Labels(image=Image(id=name, path=name, size=(10, 10)), prompt=Prompt(("cell",)), instances=instances)


def material(rows: list[Labels], *groups: tuple[str, ...]) -> Material:
    return Material(rows=tuple(rows), classes=("cell",), groups=Groups(groups))


def test_one_in_five_is_kept_and_near_duplicates_stay_together() -> None:
    rows = [row(f"{number:02d}.jpg") for number in range(20)]
    twins = [(f"{number:02d}.jpg", f"{number + 1:02d}.jpg") for number in range(0, 20, 2)]
    kept = {one.image.id for one in dev_part(material(rows, *twins))}
    assert len(kept) == 4
    assert all((first in kept) == (second in kept) for first, second in twins)


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (2, 1), (3, 1), (12, 2)])
def test_some_is_kept_and_never_all(count: int, kept: int) -> None:
    assert len(dev_part(material([row(f"{number}.jpg") for number in range(count)]))) == kept


def test_images_without_boxes_alone_choose_nothing() -> None:
    """Otherwise no weights could be better than those before."""
    rows = [row("a.jpg"), row("b.jpg"), *(row(f"none-{number}.jpg", 0) for number in range(10))]
    assert dev_part(material(rows, ("a.jpg", "b.jpg"))) == []


def test_a_crowd_is_no_object(few: Path) -> None:
    coco = json.loads(few.read_text())
    coco["annotations"][0]["iscrowd"] = 1
    few.write_text(json.dumps(coco))
    found = read_material(few, [CELLS / "images"])
    assert sum(len(one.instances) for one in found.rows) == len(coco["annotations"]) - 1


def test_images_without_boxes_are_learnt_from_too() -> None:
    rows = [row(f"{number}.jpg") for number in range(4)] + [row(f"none-{number}.jpg", 0) for number in range(10)]
    kept = [one.image.id for one in dev_part(material(rows))]
    assert sum(name.startswith("none") for name in kept) == 2


def test_a_coco_file_is_read_with_its_photos_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    shutil.copytree(CELLS / "images", tmp_path / "images")
    gone = sorted((tmp_path / "images").iterdir())[0]
    gone.unlink()
    found = read_material(CELLS / "boxes.json", [tmp_path / "images"])
    assert len(found.rows) == 11
    assert found.classes == ("red blood cell", "white blood cell", "platelet")
    assert any(gone.name in note for note in found.left_out)


def test_a_run_gives_its_checked_images_as_they_were_corrected(tmp_path: Path, registry: Registry) -> None:
    """Of three images with a red and a blue box each, the first two are checked; red is moved, blue is rejected."""
    from autolabel_colors import Rectangle, save

    for number in range(3):
        shapes = [Rectangle(2, 3, 20, 20, "red", 0.6), Rectangle(30, 30, 50, 60 - number, "blue", 0.9)]
        save(tmp_path / "photos" / f"{number}.png", shapes)
    spec = make_spec(tmp_path / "photos", tmp_path / "run", classes=["red", "blue"], export=[{"type": "coco"}])
    made = spec_from_mapping(spec, root=tmp_path, registry=registry)
    generate(compile_plan(made, registry=registry), registry=registry)
    moved = Becomes(bbox=(4, 6, 24, 26))
    said = [
        Decision(image="0.png", phrase="red", bbox=(2, 3, 20, 20), verdict="keep", becomes=moved),
        Decision(image="0.png", phrase="blue", bbox=(30, 30, 50, 60), verdict="reject"),
        Decision(image="1.png", phrase="red", bbox=(2, 3, 20, 20), verdict="keep"),
        Decision(image="1.png", phrase="blue", bbox=(30, 30, 50, 59), verdict="keep"),
        *(Decision(image=name, verdict="checked") for name in ("0.png", "1.png")),
        Decision(image="2.png", phrase="red", bbox=(2, 3, 20, 20), verdict="reject"),
    ]
    file = tmp_path / "said.json"
    file.write_bytes(encode_review(Review(version=2, plan="other", decisions=tuple(said))))
    review_run(tmp_path / "run", file, registry=registry)
    found = read_material(tmp_path / "run", [])
    names = [sorted(found.classes[label] for label in one.instances.labels) for one in found.rows]
    assert [one.image.id for one in found.rows] == ["0.png", "1.png"] and names == [["red"], ["blue", "red"]]
    assert found.rows[0].instances.boxes.tolist() == [[4, 6, 24, 26]]


def test_images_are_read_as_their_run_reads_them(tmp_path: Path, registry: Registry) -> None:
    """They lie behind links that leave the folder, and have 16 bits of which the run shows a part."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos").mkdir()
    for number in range(2):
        deep = np.random.default_rng(number).integers(0, 4000, (64, 64), np.uint16)
        Pillow.fromarray(deep).save(tmp_path / "elsewhere" / f"{number}.png")
        (tmp_path / "photos" / f"{number}.png").symlink_to(tmp_path / "elsewhere" / f"{number}.png")
    spec = make_spec(tmp_path / "photos", tmp_path / "run", classes=["red"])
    spec["data"] |= {"follow_symlinks": True, "value_range": [0, 4000]}
    made = spec_from_mapping(spec, root=tmp_path, registry=registry)
    generate(compile_plan(made, registry=registry), registry=registry)
    drawn = [Decision(image=f"{n}.png", phrase="red", bbox=(2, 3, 20, 20), verdict="keep") for n in range(2)]
    said = (*drawn, *(Decision(image=f"{n}.png", verdict="checked") for n in range(2)))
    file = tmp_path / "said.json"
    file.write_bytes(encode_review(Review(version=2, plan="other", decisions=said)))
    review_run(tmp_path / "run", file, registry=registry)
    found = read_material(tmp_path / "run", [])
    assert len(found.rows) == 2 and not found.left_out and found.value_range == (0, 4000)
    photo = TrainingPhoto(found.rows[0].image.path, found.rows[0].instances.boxes, ("red",), found.value_range)
    assert photo.pixels().mean() == pytest.approx(127, abs=5)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A COCO file of four cell photos."""
    coco = json.loads((CELLS / "boxes.json").read_text())
    coco["images"] = coco["images"][:4]
    numbers = {image["id"] for image in coco["images"]}
    coco["annotations"] = [one for one in coco["annotations"] if one["image_id"] in numbers]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(coco))
    return path


def learn(registry: Registry, source: Path, out: Path, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "images": [CELLS / "images"],
        "start": "tiny",
        "labeler": "grounding_dino",
        "settings": {"steps": 1, "batch": 1, "checks": 1},
        "device": "cpu",
        "told": lambda record: None,
        **changes,
    }
    return train(source, out=out, registry=registry, **asked)


class Learner(Labeler):
    """Notes what it is given and leaves a folder, as a labeler would."""

    needs = "prompts"
    gives = "boxes"
    given: FineTuning[Any]

    def load(self, device: str) -> None:
        raise AssertionError("fine_tune comes without load")

    def fine_tune(self, task: FineTuning[Any]) -> None:
        type(self).given = task
        (task.out / "checkpoint").mkdir(exist_ok=True)


@pytest.fixture
def learner(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> type[Learner]:
    from autolabel_grounding_dino.labeler import GroundingDino

    def noted(self: Any, task: FineTuning[Any]) -> None:
        Learner.fine_tune(self=Learner(task.settings), task=task)

    monkeypatch.setattr(GroundingDino, "fine_tune", noted)
    return Learner


def test_dev_and_train_share_nothing_and_the_card_names_a_licence(
    registry: Registry, few: Path, tmp_path: Path, learner: type[Learner]
) -> None:
    trained = learn(registry, few, tmp_path / "out")
    task = learner.given
    names = [{one.image.id for one in part} for part in (task.train, task.dev)]
    assert not names[0] & names[1]
    assert [len(part) for part in names] == [trained.train, trained.dev] == [3, 1]
    assert licence_of(tmp_path / "out" / "checkpoint").commercial is True
    assert "on 3 images of boxes.json; 1 more" in (tmp_path / "out" / "checkpoint" / "README.md").read_text()


def test_a_folder_takes_one_training(registry: Registry, few: Path, tmp_path: Path, learner: type[Learner]) -> None:
    learn(registry, few, tmp_path / "out")
    learn(registry, few, tmp_path / "out")
    with pytest.raises(DataError, match="on other images, from other weights, or with other settings"):
        learn(registry, few, tmp_path / "out", settings={"steps": 2})
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("all I have")
    with pytest.raises(DataError, match="is not empty"):
        learn(registry, few, other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_a_training_goes_on_only_with_the_photos_and_weights_it_began_with(
    registry: Registry, few: Path, tmp_path: Path, learner: type[Learner]
) -> None:
    shutil.copytree(CELLS / "images", tmp_path / "images")
    weights = tmp_path / "weights"
    shutil.copytree(Path(__file__).parents[2] / "checkpoints" / "tiny", weights)
    photo = tmp_path / "images" / json.loads(few.read_text())["images"][0]["file_name"]
    asked: dict[str, Any] = {"images": [tmp_path / "images"], "start": str(weights)}
    learn(registry, few, tmp_path / "out", **asked)
    learn(registry, few, tmp_path / "out", **asked)
    for file in (photo, next(weights.glob("*.safetensors"))):
        kept = file.read_bytes()
        file.write_bytes(kept + b" ")
        with pytest.raises(DataError, match="from other weights"):
            learn(registry, few, tmp_path / "out", **asked)
        file.write_bytes(kept)


def test_a_training_that_never_began_keeps_no_folder(registry: Registry, few: Path, tmp_path: Path) -> None:
    """The hint of its error says which setting to change: with it, the same folder is taken."""
    mal: dict[str, Any] = {"labeler": "mal", "start": "tiny-mal"}
    with pytest.raises(DataError, match="lower smallest_side"):
        learn(registry, few, tmp_path / "out", settings={"smallest_side": 5000}, **mal)
    with pytest.raises(DataError, match="no box has sides of 4000 px"):
        learn(registry, few, tmp_path / "out", settings={"smallest_side": 4000}, **mal)


def test_a_damaged_note_of_a_training_is_no_reason_to_mix_two(
    registry: Registry, few: Path, tmp_path: Path, learner: type[Learner]
) -> None:
    learn(registry, few, tmp_path / "out")
    (tmp_path / "out" / "training.json").write_text("")
    with pytest.raises(DataError, match="holds a training on other images"):
        learn(registry, few, tmp_path / "out")


def test_wrong_settings_labelers_and_sources_are_refused(registry: Registry, few: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="stepps"):
        learn(registry, few, tmp_path / "out", settings={"stepps": 1})
    with pytest.raises(SpecError, match="batch"):
        learn(registry, few, tmp_path / "out", settings={"batch": 0})
    with pytest.raises(MachineError, match="colors cannot be trained"):
        learn(registry, few, tmp_path / "out", labeler="colors", start=None)
    with pytest.raises(DataError, match="cannot be read"):
        learn(registry, tmp_path / "none.json", tmp_path / "out")
    coco = json.loads(few.read_text())
    few.write_text(json.dumps({**coco, "annotations": coco["annotations"][:1]}))
    with pytest.raises(DataError, match="fewer than 2 images with boxes"):
        learn(registry, few, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_read_and_words_go_before_it(few: Path, tmp_path: Path, learner: type[Learner]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 7\nturn: true\n")
    words = [
        "train",
        str(few),
        "steps=9",
        "--images",
        str(CELLS / "images"),
        "--recipe",
        str(recipe),
        "--device",
        "cpu",
    ]
    outcome = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out"), "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["train"] == 3
    assert (learner.given.settings.steps, learner.given.settings.turn) == (9, True)


def test_what_is_wrong_in_a_recipe_is_told_with_its_place(few: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 7\nlearning_speed: 3\nbatch: none\n")
    words = ["train", str(few), "turn=perhaps", "--images", str(CELLS / "images"), "--recipe", str(recipe)]
    error = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")]).exception
    assert isinstance(error, SpecError)
    assert {str(one).splitlines()[0] for one in error.problems} == {
        "<command line> turn=perhaps: turn: found 'perhaps', wanted true or false",
        f"{recipe}:2:1: learning_speed: unknown key 'learning_speed'",
        f"{recipe}:3:1: batch: found 'none', wanted an integer",
    }
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "said"), [("- steps\n", "1:1"), ("steps: [1\n", "recipe.yaml:"), ("", "is empty")])
def test_a_recipe_that_is_none_is_refused(few: Path, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    outcome = CliRunner().invoke(app, ["train", str(few), "--recipe", str(tmp_path / "recipe.yaml")])
    assert isinstance(outcome.exception, SpecError) and said in str(outcome.exception)


def test_a_photo_that_cannot_be_decoded_is_left_out(tmp_path: Path, few: Path) -> None:
    shutil.copytree(CELLS / "images", tmp_path / "images")
    cut = tmp_path / "images" / json.loads(few.read_text())["images"][0]["file_name"]
    cut.write_bytes(cut.read_bytes()[:4000])
    found = read_material(few, [tmp_path / "images"])
    assert len(found.rows) == 3 and cut.name not in {one.image.id for one in found.rows}
    assert any(cut.name in line for line in found.left_out)


def test_the_card_counts_boxes_whatever_a_class_is_called(
    registry: Registry, few: Path, tmp_path: Path, learner: type[Learner]
) -> None:
    coco = json.loads(few.read_text())
    coco["categories"][0]["name"] = "a | `cell`"
    coco["categories"][1]["name"] = "Zellkörper 細胞"
    few.write_text(json.dumps(coco))
    learn(registry, few, tmp_path / "out")
    card = (tmp_path / "out" / "checkpoint" / "README.md").read_text("utf-8")
    boxes = sum(one["category_id"] == coco["categories"][0]["id"] for one in coco["annotations"])
    assert f"| `a \\| 'cell'` | {boxes} |" in card and "| `Zellkörper 細胞` |" in card
