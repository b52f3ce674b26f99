"""Two steps of training: what learns, what stays, resuming, a user's own boxes, what is exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from autolabel.weights import licence_of
from autolabel_mal.labeler import Mal
from autolabel_mal.learning.network import build_optimiser, freeze
from autolabel_mal.load import load_networks
from autolabel_training.recipe import build, plain, read
from training.mal.config import ModelRecipe, Recipe
from training.mal.network import build_network
from training.mal.train import main

ROOT = Path(__file__).parents[2]
SHIPPED = read(Recipe, ROOT / "training" / "mal.yaml")


def tiny_recipe(*, steps: int, arch: str = "efficientnet-lite0") -> Recipe:
    return replace(
        SHIPPED,
        model=ModelRecipe(arch=arch, crop_size=64, initial="random", frozen_stages=4),  # type: ignore[arg-type]
        crops=replace(SHIPPED.crops, smallest_side=4),
        loss=replace(SHIPPED.loss, crf_start=0, crf_ramp=1),
        optimiser=replace(SHIPPED.optimiser, batch=2, steps=steps, cooldown=0.0),
        evaluate_every=100,
        save_every_seconds=0,
    )


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A COCO file with two boxes on one picture beside it."""
    pixels = np.full((48, 64, 3), 60, np.uint8)
    pixels[10:30, 20:44] = (230, 40, 40)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box}
        for number, box in enumerate([[20, 10, 24, 20], [0, 0, 20, 20]])
    ]
    coco = {"images": [{"id": 1, "file_name": "one.png", "width": 64, "height": 48}], "annotations": annotations}
    (tmp_path / "boxes.json").write_text(json.dumps(coco | {"categories": [{"id": 1, "name": "thing"}]}))
    return tmp_path / "boxes.json"


def train(recipe: Recipe, boxes: Path, out: Path) -> dict[str, torch.Tensor]:
    path = out.with_suffix(".yaml")
    YAML(typ="safe").dump(plain(recipe) | {"crops": plain(recipe)["crops"] | {"margins": [0.0, 1.2]}}, path)
    main(["--recipe", str(path), "--coco", str(boxes), "--out", str(out), "--device", "cpu"])
    state: dict[str, torch.Tensor] = torch.load(out / "state.pt", weights_only=True)["student"]
    return state


def test_a_run_cut_short_goes_on_as_if_nothing_had_happened(boxes: Path, tmp_path: Path) -> None:
    whole = train(tiny_recipe(steps=2), boxes, tmp_path / "whole")
    half = train(tiny_recipe(steps=1), boxes, tmp_path / "parts")
    resumed = train(tiny_recipe(steps=2), boxes, tmp_path / "parts")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert any(not torch.equal(whole[name], half[name]) for name in whole)
    events = [json.loads(line)["event"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert events == ["recipe", "step", "exported", "recipe", "resumed", "step", "exported"]


def test_what_is_exported_loads_as_a_labeler_would(boxes: Path, tmp_path: Path) -> None:
    train(tiny_recipe(steps=1), boxes, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoint"
    teacher = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["teacher"]
    (network,) = load_networks(folder, Mal.Params(checkpoint=str(folder)))
    assert network.sizes.crop == 64
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, teacher[name].half().float())
    assert licence_of(folder / "model.safetensors").name == "apache-2.0"
    assert json.loads((folder / "config.json").read_text())["arch"] == "efficientnet-lite0"


def test_a_transformer_trains_and_a_checkpoint_starts_the_next_run(boxes: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=1, arch="vit-deit-tiny/16")
    before = build_network(recipe.model, prior=0.0).state_dict()["backbone.blocks.11.norm1.weight"]
    trained = train(recipe, boxes, tmp_path / "run")
    assert not torch.equal(trained["backbone.blocks.11.norm1.weight"], before)
    folder = tmp_path / "run" / "checkpoint"
    started = build_network(replace(recipe.model, initial=str(folder)), prior=0.0)
    (shipped,) = load_networks(folder, Mal.Params(checkpoint=str(folder)))
    assert torch.equal(started.roi_head.mlp1.weight, shipped.roi_head.mlp1.weight)


@pytest.mark.parametrize(
    ("arch", "first", "last"),
    [
        ("efficientnet-lite0", "backbone.body.stages.3.", "backbone.body.stages.4."),
        ("vit-deit-tiny/16", "backbone.blocks.3.", "backbone.blocks.4."),
    ],
)
def test_frozen_stages_keep_their_weights(arch: str, first: str, last: str) -> None:
    network = build_network(tiny_recipe(steps=1, arch=arch).model, prior=-2.2)
    freeze(network, 4)
    learns = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    assert not any(learning for name, learning in learns.items() if name.startswith(first))
    assert all(learning for name, learning in learns.items() if name.startswith((last, "mask_head.", "roi_head.")))


def test_pretrained_weights_learn_at_a_part_of_the_rate() -> None:
    recipe = tiny_recipe(steps=1)
    network = build_network(recipe.model, prior=0.0)
    groups = build_optimiser(network, recipe.optimiser).param_groups
    by_parameter = {id(parameter): group for group in groups for parameter in group["params"]}
    names = dict(network.named_parameters())
    assert len(by_parameter) == len(names)
    slow = by_parameter[id(names["backbone.body.stem.convolution.weight"])]
    bias = by_parameter[id(names["mask_head.convs.0.conv.bias"])]
    full = recipe.optimiser.learning_rate
    assert (slow["base"], slow["weight_decay"]) == (full * recipe.optimiser.backbone_factor, 1e-3)
    assert (bias["base"], bias["weight_decay"]) == (full, 0.0)


def test_a_fresh_network_gives_logits_near_the_prior() -> None:
    torch.manual_seed(0)
    network = build_network(tiny_recipe(steps=1).model, prior=-2.2).eval()
    with torch.no_grad():
        logits = network(torch.zeros(1, 3, 64, 64), torch.tensor([1]))
    assert logits.mean().item() == pytest.approx(-2.2, abs=1.0)


def test_imagenet_weights_are_for_the_small_backbone() -> None:
    recipe = replace(tiny_recipe(steps=1, arch="vit-deit-tiny/16").model, initial="imagenet")
    with pytest.raises(ValueError, match="efficientnet-lite0 only"):
        build_network(recipe, prior=0.0)


def test_the_recipe_survives_json_and_names_what_it_does_not_know() -> None:
    assert build(Recipe, json.loads(json.dumps(plain(SHIPPED)))) == SHIPPED
    with pytest.raises(ValueError, match="learning_speed"):
        build(Recipe, plain(SHIPPED) | {"optimiser": plain(SHIPPED)["optimiser"] | {"learning_speed": 1}})
