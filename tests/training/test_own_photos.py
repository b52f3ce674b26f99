"""A user's own COCO file: how it is split, what is refused, and training that goes on from a checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from tokenizers import Tokenizer
from transformers import GroundingDinoForObjectDetection

from autolabel_training.recipe import build, plain, read
from autolabel_training.run_log import RunLog
from training.detector import evaluate, gallery, train
from training.detector.config import Recipe
from training.detector.data import OWN, Data
from training.detector.export import export
from training.detector.features import FROZEN_STAGES, image_network
from training.detector.model import trained_parameters

ROOT = Path(__file__).parents[2]
CELLS = ROOT / "examples" / "bccd"
OWN_RECIPE = ROOT / "training" / "detector-own.yaml"


def test_a_fifth_of_a_coco_file_is_kept_for_dev(tmp_path: Path) -> None:
    data = Data(tmp_path, CELLS / "boxes.json", CELLS / "images")
    trained, judged = ({Path(photo.path).name for photo in data.photos(OWN, split)} for split in ("train", "dev"))
    assert not trained & judged
    assert len(trained | judged) == 12
    assert 1 <= len(judged) <= 5
    assert data.names(OWN) == ["red blood cell", "white blood cell", "platelet"]
    renamed = json.loads((CELLS / "boxes.json").read_text())
    for image in renamed["images"][:3]:
        image["file_name"] = f"sub/{image['file_name']}"
    (tmp_path / "moved.json").write_text(json.dumps(renamed))
    again = Data(tmp_path, tmp_path / "moved.json", CELLS / "images").photos(OWN, "dev")
    assert {
        Path(photo.path).name for photo in again
    } == judged  # the name decides, not the folder or the place in the file


def test_a_name_with_a_full_stop_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "St. Bernard"}]}))
    with pytest.raises(ValueError, match=r'labels.json: a class name must have no full stop: "St. Bernard"'):
        Data(tmp_path, path).names(OWN)
    with pytest.raises(ValueError, match="--coco"):
        Data(tmp_path).photos(OWN, "train")


def test_a_recipe_begins_fresh_or_goes_on() -> None:
    raw = plain(read(Recipe, OWN_RECIPE))
    with pytest.raises(ValueError, match="either `model`"):
        build(Recipe, raw | {"start": None})
    with pytest.raises(ValueError, match="stepps"):
        build(Recipe, raw | {"optimiser": raw["optimiser"] | {"stepps": 3}})


def test_a_run_begins_at_the_checkpoint_it_names(
    recipe: Recipe,
    tiny_model: Callable[[], GroundingDinoForObjectDetection],
    tokenizer: Tokenizer,
    tmp_path: Path,
) -> None:
    shipped = tiny_model()
    export(shipped, tokenizer, image_size=64, folder=tmp_path)
    model, words = train.starting_point(replace(recipe, model=None, start=str(tmp_path)))
    expected = shipped.state_dict()
    assert all(torch.equal(value, expected[name].half().float()) for name, value in model.state_dict().items())
    assert trained_parameters(model).keys() == trained_parameters(shipped).keys()
    assert words.get_vocab() == tokenizer.get_vocab()
    network = image_network(str(tmp_path))
    whole = shipped.model.backbone.conv_encoder.model.features
    for name, value in network.stages[:FROZEN_STAGES].state_dict().items():
        assert torch.equal(value, whole.stages.state_dict()[name].half().float())


def test_figures_become_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = RunLog(tmp_path, tensorboard=True)
    log.write(event="recipe", seed=1)
    log.write(event="dev", step=300, raw={"bccd": 0.5}, name="x")
    log.write(event="dev", step=600, raw={"bccd": 0.75})
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert found.Tags()["scalars"] == ["dev/raw/bccd"]
    assert [(each.step, each.value) for each in found.Scalars("dev/raw/bccd")] == [(300, 0.5), (600, 0.75)]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.soak
def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of docs/own-photos.md, on the twelve photos of the example and for a few steps."""
    monkeypatch.chdir(ROOT)
    commands = re.findall(r"^\$ python -m (training\.\S+) (.*)$", (ROOT / "docs" / "own-photos.md").read_text(), re.M)
    mains = {
        "training.detector.train": train.main,
        "training.detector.evaluate": evaluate.main,
        "training.detector.gallery": gallery.main,
    }
    assert {name for name, _ in commands} == mains.keys()
    _shorten(OWN_RECIPE, tmp_path / OWN_RECIPE.name)
    places = {
        "labels.json": CELLS / "boxes.json",
        "photos": CELLS / "images",
        "failures.png": tmp_path / "failures.png",
    }
    for name, words in commands:
        arguments = [str(places.get(word, word)) for word in words.split()]
        mains[name]([word.replace("runs/", f"{tmp_path}/").replace("training/", f"{tmp_path}/") for word in arguments])
    assert (tmp_path / "own" / "checkpoint" / "detector.safetensors").exists()
    assert (tmp_path / "failures.png").exists()
    dev = [json.loads(line) for line in (tmp_path / "own" / "log.jsonl").read_text().splitlines()]
    assert any(line["event"] == "dev" and line["suppressed"]["own"] > 0.5 for line in dev)


def _shorten(recipe: Path, short: Path) -> None:
    raw = YAML(typ="safe").load(recipe)
    raw["optimiser"] |= {"steps": 4, "warmup": 1}
    if "own" in raw.get("sets", {}):
        raw["sets"]["own"]["views"] = 2
    YAML(typ="safe").dump(raw, short)


def test_every_phase_goes_on_from_what_the_one_before_exports() -> None:
    commands = [line for line in (ROOT / "Makefile").read_text().splitlines() if "training.detector.train" in line]
    phases = [dict(zip(line.split()[1:], line.split()[2:], strict=False)) for line in commands]
    recipes = [read(Recipe, ROOT / phase["--recipe"]) for phase in phases]
    assert [recipe.start for recipe in recipes] == [None, *(f"{phase['--out']}/checkpoint" for phase in phases[:-1])]
    assert len(recipes) == 3
    assert [recipe.image_size for recipe in recipes] == [320, 320, 384]
