"""The losses by hand, and what they drive a mask to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from autolabel_mal.learning.crops import CropBatch
from autolabel_mal.learning.loss import (
    MaskLossRecipe,
    box_masks,
    box_supervised_loss,
    calibrated,
    crf_labels,
    crf_loss,
    crf_weight,
    dice,
    mil_loss,
)
from autolabel_mal.mean_field import log_odds
from autolabel_training.recipe import read
from training.mal.config import Recipe

RECIPE = read(Recipe, Path(__file__).parents[2] / "training" / "mal.yaml").loss


def a_batch(pixels: Tensor, inside: slice, side: int, *, solid: bool = False) -> CropBatch:
    line = torch.zeros(1, side)
    line[:, inside] = 1
    return CropBatch(pixels, line, line.clone(), torch.zeros(1, dtype=torch.long), torch.tensor([solid]))


def test_dice_by_hand() -> None:
    # overlap 0.5 + 0.2 = 0.7; squares 0.25 + 0.04 + 0.01 = 0.3 and 2
    found = dice(torch.tensor([0.5, 0.2, 0.1]), torch.tensor([1.0, 1.0, 0.0]))
    assert found.item() == pytest.approx(1 - 2 * 0.7 / 2.3, abs=1e-4)
    assert dice(torch.ones(3), torch.ones(3)).item() == pytest.approx(0, abs=1e-4)
    assert dice(torch.zeros(3), torch.zeros(3)).item() == 1


def test_mil_takes_the_maximum_of_each_row_and_column() -> None:
    probabilities = torch.tensor([[[0.1, 0.9, 0.2], [0.3, 0.4, 0.0], [0.0, 0.0, 0.0]]])
    rows, columns = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    by_rows = dice(torch.tensor([0.9, 0.4, 0.0]), rows[0])
    by_columns = dice(torch.tensor([0.3, 0.9, 0.2]), columns[0])
    torch.testing.assert_close(mil_loss(probabilities, rows, columns), (by_rows + by_columns)[None])


def test_a_thin_cross_contents_mil_as_much_as_the_full_box() -> None:
    line = torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.0]])
    full = line[:, :, None] * line[:, None, :]
    cross = full * (torch.eye(5) + torch.eye(5).flip(0)).clamp(max=1)
    assert mil_loss(full, line, line).item() == pytest.approx(mil_loss(cross, line, line).item())
    spilt = full.clone()
    spilt[:, 0, 0] = 1
    assert mil_loss(spilt, line, line) > mil_loss(full, line, line)


def test_crf_loss_looks_inside_the_box_only() -> None:
    labels, inside = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    labels[:, 0, 0] = 1
    probabilities = torch.tensor([[[0.8, 0.4], [1.0, 1.0]]])
    wanted = 1 - 2 * 0.8 / (0.64 + 0.16 + 1)
    assert crf_loss(probabilities, labels, inside).item() == pytest.approx(wanted, abs=1e-4)


def test_crf_labels_follow_the_colours() -> None:
    pixels = torch.full((1, 16, 16, 3), 40, dtype=torch.uint8)
    pixels[:, 5:11, 5:11] = 220
    batch = a_batch(pixels, slice(3, 13), 16)
    seed = torch.full((1, 16, 16), 0.5)
    seed[:, 7:9, 7:9] = 0.9
    labels = crf_labels(seed, batch, RECIPE)
    wanted = torch.zeros(1, 16, 16)
    wanted[:, 5:11, 5:11] = 1
    torch.testing.assert_close(labels, wanted)


def test_holes_are_filled_in_solid_objects_only() -> None:
    pixels = torch.full((1, 16, 16, 3), 40, dtype=torch.uint8)
    pixels[:, 4:12, 4:12] = 220
    pixels[:, 6:10, 6:10] = 40
    seed = torch.where(pixels[..., 0] > 100, 0.9, 0.1)
    ring, disc = (crf_labels(seed, a_batch(pixels, slice(4, 12), 16, solid=solid), RECIPE) for solid in (False, True))
    assert (ring[0, 7:9, 7:9] == 0).all()
    assert (disc[0, 4:12, 4:12] == 1).all()
    assert disc.sum() == 64


def test_descending_both_losses_carves_the_object_where_mil_alone_keeps_the_box() -> None:
    pixels = torch.full((1, 16, 16, 3), 40, dtype=torch.uint8)
    away = (torch.arange(16) - 7.5).abs()
    diamond = away[:, None] + away[None] <= 5.2
    pixels[:, diamond] = 220
    batch = a_batch(pixels, slice(3, 13), 16)
    carved = _descend(batch, replace(RECIPE, crf_start=0, crf_ramp=1))
    alone = _descend(batch, replace(RECIPE, crf_weight=0.0))
    assert _iou(carved, diamond) > _iou(alone, diamond) + 0.1


def _descend(batch: CropBatch, recipe: MaskLossRecipe) -> Tensor:
    ramp = torch.linspace(1.0, -1.0, 16)
    logits = (2.0 * (ramp.abs()[:, None] + ramp.abs()[None]) - 1.6).neg()[None].requires_grad_()
    optimiser = torch.optim.Adam([logits], 0.1)
    for _ in range(120):
        shifted = logits + log_odds(recipe.decision)
        terms = box_supervised_loss(shifted, shifted.detach(), batch, recipe=recipe, step=10)
        optimiser.zero_grad()
        terms.total.backward()
        optimiser.step()
    return (logits.detach()[0] > 0) & (box_masks(batch)[0] > 0)


def _iou(first: Tensor, second: Tensor) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_the_total_is_the_weighted_sum_and_the_area_is_of_the_box() -> None:
    batch = a_batch(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), slice(2, 6), 8)
    logits = torch.full((1, 8, 8), -9.0)
    logits[:, 2:6, 2:4] = 9.0
    terms = box_supervised_loss(logits, logits, batch, recipe=RECIPE, step=10_000)
    parts = terms.parts
    assert parts["loss"] == pytest.approx(RECIPE.mil_weight * parts["mil"] + RECIPE.crf_weight * parts["crf"], rel=1e-5)
    assert parts["area"] == 0.5


def test_the_decision_counts_as_one_half() -> None:
    at_decision = torch.tensor(log_odds(0.1))
    assert calibrated(at_decision, 0.1).item() == pytest.approx(0.5)
    assert at_decision.sigmoid().item() == pytest.approx(0.1)


def test_the_crf_weight_ramps() -> None:
    recipe = replace(RECIPE, crf_weight=2.0, crf_start=10, crf_ramp=20)
    assert [crf_weight(recipe, step) for step in (0, 10, 20, 30, 99)] == [0, 0, 1, 2, 2]
