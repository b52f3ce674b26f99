"""A run is deterministic, continues where it stopped, and exports what transformers loads."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GroundingDinoForObjectDetection
from transformers.models.grounding_dino import modeling_grounding_dino

from autolabel_training.loop import STATE_FILE, train
from autolabel_training.loss import detection_loss
from autolabel_training.run_log import RunLog
from autolabel_training.schedule import rate_factor
from tests.since import since
from training.detector.config import Recipe, SetRecipe
from training.detector.features import frozen_part, load_tensors
from training.detector.model import CachedDetector
from training.detector.text import CaptionEncoder
from training.detector.train import DetectorRun, Ingredients


def _with_steps(recipe: Recipe, steps: int) -> Recipe:
    return replace(recipe, optimiser=replace(recipe.optimiser, steps=steps))


def _trained(recipe: Recipe, parts: Ingredients, folder: Path) -> DetectorRun:
    folder.mkdir(exist_ok=True)
    run = DetectorRun(recipe, parts)
    train(run, recipe, folder, RunLog(folder))
    return run


def _state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / STATE_FILE, weights_only=True)
    return state


def test_an_interrupted_run_ends_where_a_whole_one_does(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    _trained(_with_steps(recipe, 4), ingredients(), tmp_path / "whole")
    _trained(_with_steps(recipe, 2), ingredients(), tmp_path / "parts")
    before = _state(tmp_path / "parts")
    assert before["progress"]["step"] == 2
    _trained(_with_steps(recipe, 4), ingredients(), tmp_path / "parts")
    whole, after = _state(tmp_path / "whole"), _state(tmp_path / "parts")
    for kind in ("parameters", "average"):
        for name, value in whole[kind].items():
            assert torch.equal(value, after[kind][name]), name
        assert any(not torch.equal(value, after[kind][name]) for name, value in before[kind].items())


def test_photos_of_which_none_is_for_dev_are_learnt_from(
    recipe: Recipe, ingredients: Callable[[], Ingredients]
) -> None:
    assert DetectorRun(replace(recipe, evaluate_on=[]), ingredients()).check_dev() is None


def test_what_learns_and_what_stays(recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path) -> None:
    parts = ingredients()
    before = {name: value.clone() for name, value in parts.model.state_dict().items()}
    run = _trained(recipe, parts, tmp_path / "run")
    after = run.detector.model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    tower = "model.backbone.conv_encoder.model.features."
    assert tower + "stages.2.0.expand.convolution.weight" in changed
    assert "model.text_projection.weight" in changed
    assert not any(name.startswith((tower + "stem", tower + "stages.1.", "model.text_backbone.")) for name in changed)
    rates = {group["base"] for group in run.optimiser.param_groups}
    assert rates == {recipe.optimiser.learning_rate, recipe.optimiser.learning_rate * 0.1}


def test_the_log_and_the_exported_checkpoint(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    run = _trained(recipe, ingredients(), tmp_path)
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["step", "dev", "exported"]
    model, report = GroundingDinoForObjectDetection.from_pretrained(  # type: ignore[misc]
        tmp_path / "checkpoint", output_loading_info=True, dtype=torch.float32
    )
    assert not any(report.values())  # type: ignore[has-type]
    for name, parameter in model.named_parameters():  # type: ignore[has-type]
        if name in run.average:
            assert torch.equal(parameter, run.average[name].half().float()), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    assert tokenizer("red blood cell .")["input_ids"] == [101, 2417, 2668, 3526, 1012, 102]


def test_a_share_of_the_start_is_exported(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    """Also after a stop: the start is that of the recipe, not the saved state."""
    _trained(_with_steps(recipe, 2), ingredients(), tmp_path / "start")
    going_on = replace(recipe, model=None, start=str(tmp_path / "start" / "checkpoint"), start_share=0.5)
    parts = ingredients()
    start = {name: value.clone() for name, value in parts.model.state_dict().items()}
    for steps in (1, 3):
        _trained(_with_steps(going_on, steps), ingredients(), tmp_path / "run")
    learned = torch.load(tmp_path / "run" / "best.pt", weights_only=True)["model.text_projection.weight"]
    expected = 0.5 * learned + 0.5 * start["model.text_projection.weight"]
    shipped = load_tensors(tmp_path / "run" / "checkpoint", "model.text_projection.")["weight"].float()
    torch.testing.assert_close(shipped, expected, atol=2e-5, rtol=1e-3)
    assert (learned - start["model.text_projection.weight"]).abs().max() > 5e-4


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_of_the_start_is_below_one(recipe: Recipe, share: float) -> None:
    with pytest.raises(ValueError, match="start_share"):
        replace(recipe, model=None, start="there", start_share=share)
    with pytest.raises(ValueError, match="start_share"):
        replace(recipe, start_share=0.1)


@since("transformers", "5.23", "the codes of positions in a phrase were rounded to whole numbers")
def test_cached_features_change_nothing(
    tiny_model: Callable[[], GroundingDinoForObjectDetection], tokenizer: Tokenizer
) -> None:
    """The training view over cached towers says what the whole model says, with another caption per picture."""
    model = tiny_model()
    pixels = torch.randn(2, 3, 64, 64)
    encoder = CaptionEncoder(model.model.text_backbone, tokenizer)
    captions = [encoder.encode(["platelet", "red blood cell"]), encoder.encode(["fig"])]
    text = tokenizer.encode("platelet . red blood cell .").ids
    with torch.no_grad():
        features = frozen_part(model.model.backbone.conv_encoder.model.features, pixels)
        whole = model(pixel_values=pixels[:1], input_ids=torch.tensor([text]))
        cached = CachedDetector(model)(features, captions)
    assert captions[0].ids == text
    torch.testing.assert_close(cached.layer_boxes[-1][0], whole.pred_boxes[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(cached.layer_logits[-1][0], whole.logits[0, :, : len(text)], atol=1e-3, rtol=0)


def test_the_loss_is_the_same_through_bfloat16(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    """What a GPU runs: half precision in the network, full precision in the loss, about the same value."""
    run = DetectorRun(recipe, ingredients())
    whole = run.detector.model
    for module in whole.modules():
        if isinstance(module, modeling_grounding_dino.GroundingDinoMultiscaleDeformableAttention):
            module.attn = modeling_grounding_dino.MultiScaleDeformableAttention()
    (batch,) = run.batches(range(1))
    full = detection_loss(run.detector(batch.features, batch.captions), batch.targets, recipe.loss)
    with torch.autocast("cpu", torch.bfloat16):
        predictions = run.detector(batch.features, batch.captions)
    half = detection_loss(predictions, batch.targets, recipe.loss)
    assert predictions.layer_logits[0].dtype == predictions.dense_boxes.dtype == torch.float32
    assert half.total.item() == pytest.approx(full.total.item(), rel=0.05)
    half.total.backward()
    assert all(torch.isfinite(each.grad).all() for each in run.parameters.values() if each.grad is not None)


def test_a_recipe_may_train_in_bfloat16_on_a_cpu(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    """The numbers differ a little and the weights stay float32."""
    ends = {}
    for half in (False, True):
        run = _trained(replace(recipe, bfloat16=half), ingredients(), tmp_path / str(half))
        ends[half] = {name: each.detach().clone() for name, each in run.parameters.items()}
    assert any(not torch.equal(ends[True][name], ends[False][name]) for name in ends[True])
    for name, value in ends[True].items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, ends[False][name], atol=5e-3, rtol=0)


def test_a_balanced_set_shows_every_name_as_often(recipe: Recipe, ingredients: Callable[[], Ingredients]) -> None:
    """Ten views of red cells, one of a platelet: drawn at random the platelet is one in eleven, balanced one in two."""
    drawn = {}
    for balanced in (False, True):
        parts = ingredients()
        cells = parts.cache.samples[0]
        alone = [replace(cells, boxes=cells.boxes[:1], names=("red blood cell",))] * 10
        parts.cache.samples[:] = [*alone, replace(cells, boxes=cells.boxes[:1], names=("platelet",))]
        asked = replace(recipe, scenes=None, sets={"bccd": SetRecipe(views=1, turn=False, balanced=balanced)})
        run = DetectorRun(asked, parts)
        rng = random.Random(0)
        drawn[balanced] = sum(run._draw("bccd", rng) == 10 for _ in range(400))
    assert drawn[False] < 80
    assert 160 < drawn[True] < 240


def test_the_rate_warms_up_stays_and_cools_down() -> None:
    rates = [rate_factor(step, 100, warmup=10, cooldown=0.4) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == [1.0] * 52
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[100] == pytest.approx(0.01)
