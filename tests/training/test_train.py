"""A run is deterministic, continues where it stopped, and exports what transformers loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from training.detector.config import Recipe
from training.detector.model import CachedDetector
from training.detector.text import CaptionEncoder
from training.detector.train import Ingredients, Run, learning_rate
from transformers import AutoTokenizer, GroundingDinoForObjectDetection


def _with_steps(recipe: Recipe, steps: int) -> Recipe:
    return replace(recipe, optimiser=replace(recipe.optimiser, steps=steps))


def _trained(run: Run) -> dict[str, torch.Tensor]:
    run.train()
    return {name: parameter.detach().clone() for name, parameter in run.parameters.items()}


def test_an_interrupted_run_ends_where_a_whole_one_does(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = Run(_with_steps(recipe, 4), ingredients(), tmp_path / "whole")
    expected = _trained(whole)
    before = _trained(Run(_with_steps(recipe, 2), ingredients(), tmp_path / "parts"))
    resumed = Run(_with_steps(recipe, 4), ingredients(), tmp_path / "parts")
    assert resumed.progress.step == 2
    after = _trained(resumed)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    for name, value in expected.items():
        assert torch.equal(value, after[name]), name
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name]), name


def test_the_log_and_the_exported_checkpoint(
    recipe: Recipe, ingredients: Callable[[], Ingredients], tmp_path: Path
) -> None:
    run = Run(recipe, ingredients(), tmp_path)
    run.train()
    run.finish()
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["step", "dev", "exported"]
    model, report = GroundingDinoForObjectDetection.from_pretrained(
        tmp_path / "checkpoint", output_loading_info=True, dtype=torch.float32
    )
    assert not any(report.values())
    for name, parameter in model.named_parameters():
        if name in run.parameters:
            assert torch.equal(parameter, run.parameters[name].half().float()), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    assert tokenizer("red blood cell .")["input_ids"] == [101, 2417, 2668, 3526, 1012, 102]


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
        features = model.model.backbone.conv_encoder.model(pixels).feature_maps
        whole = model(pixel_values=pixels[:1], input_ids=torch.tensor([text]))
        cached = CachedDetector(model)([level.clone() for level in features], captions)
    assert captions[0].ids == text
    torch.testing.assert_close(cached.layer_boxes[-1][0], whole.pred_boxes[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(cached.layer_logits[-1][0], whole.logits[0, :, : len(text)], atol=1e-3, rtol=0)


def test_the_rate_warms_up_stays_and_cools_down(recipe: Recipe) -> None:
    settings = replace(recipe.optimiser, steps=100, warmup=10, cooldown=0.4, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == [1.0] * 52
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[100] == pytest.approx(0.01)
