"""The loss against cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from autolabel_training.boxes import paired_giou
from autolabel_training.loss import (
    LossRecipe,
    Predictions,
    Target,
    dense_assignment,
    detection_loss,
    match,
    phrase_tokens,
    places_of,
)

RECIPE = LossRecipe(sigma=0.11, dense_class_weight=0.5, l1_weight=5.0, giou_weight=2.0)
TOKENS = 6
SHAPES = [(4, 4), (2, 2), (1, 1)]
CENTRE = [0.5, 0.5, 0.4, 0.4]
CORNER = [0.125, 0.125, 0.2, 0.2]


def _batch(layer_logits: torch.Tensor) -> tuple[Predictions, list[Target]]:
    """Two pictures with captions of their own: the box of each is its second phrase, at other tokens."""
    spans = [[[1], [3, 4]], [[1, 2], [4]]]
    boxes = torch.tensor([[CENTRE, CORNER], [CENTRE, CORNER]])
    mask = torch.ones(2, TOKENS, dtype=torch.bool)
    mask[1, 5] = False
    predictions = Predictions(
        layer_logits=[layer_logits],
        layer_boxes=[boxes],
        dense_logits=torch.full((2, 21, TOKENS), -20.0),
        dense_boxes=torch.tensor(CENTRE).expand(2, 21, 4),
        token_mask=mask,
        spans=spans,
        shapes=SHAPES,
    )
    targets = [Target(torch.tensor([1]), torch.tensor([CENTRE])) for _ in range(2)]
    return predictions, targets


def test_class_targets_follow_the_caption_of_each_picture() -> None:
    right = torch.full((2, 2, TOKENS), -20.0)
    right[0, 0, [3, 4]] = 20.0
    right[1, 0, 4] = 20.0
    terms = detection_loss(*_batch(right), RECIPE)
    assert terms.parts["class1"] == pytest.approx(0, abs=1e-6)
    assert terms.parts["giou1"] == pytest.approx(0, abs=1e-6)
    shared = right.clone()
    shared[1] = right[0]  # the first picture's map applied to the second
    wrong = detection_loss(*_batch(shared), RECIPE)
    # One token is wrongly hot (3) and none is missing (4), over two boxes: -log(1 - sigmoid(20)) = 20.
    assert wrong.parts["class1"] == pytest.approx(20 / 2, rel=1e-4)


def test_class_term_counts_every_token_but_padding() -> None:
    terms = detection_loss(*_batch(torch.zeros(2, 2, TOKENS)), RECIPE)
    counted = 2 * TOKENS + 2 * (TOKENS - 1)
    assert terms.parts["class1"] == pytest.approx(counted * 0.25 * math.log(2) / 2, rel=1e-5)


def test_dense_term_and_total_by_hand() -> None:
    right = torch.full((2, 2, TOKENS), -20.0)
    right[0, 0, [3, 4]] = 20.0
    right[1, 0, 4] = 20.0
    predictions, targets = _batch(right)
    terms = detection_loss(predictions, targets, RECIPE)
    # A box of side 0.4 belongs to the two coarse maps; the single central place of the last one is the nearest
    # (target 1), the four of the middle map lie 0.25 / 0.4 sides off on both axes (target exp(-32) = 0).
    # Its phrase has two tokens in the first picture and one in the second; each costs 20, over two boxes.
    assert terms.parts["dense_class"] == pytest.approx(3 * 20 / 2, rel=1e-4)
    assert terms.parts["dense_giou"] == pytest.approx(0, abs=1e-6)
    assert terms.total.item() == pytest.approx(0.5 * 30, rel=1e-4)


def test_a_picture_without_its_phrases_only_pushes_scores_down() -> None:
    predictions, targets = _batch(torch.zeros(2, 2, TOKENS))
    nothing = Target(torch.zeros(0, dtype=torch.long), torch.zeros(0, 4))
    terms = detection_loss(predictions, [nothing, nothing], RECIPE)
    assert terms.parts["giou1"] == 0
    assert math.isfinite(terms.parts["loss"])
    assert terms.parts["loss"] > 0
    assert targets[0].boxes.shape == (1, 4)


def test_matching_prefers_the_query_that_names_the_phrase() -> None:
    boxes = torch.tensor([CENTRE, CENTRE])
    logits = torch.tensor([[5.0, -5.0], [-5.0, 5.0]])
    target = Target(torch.tensor([1, 0]), torch.tensor([CENTRE, CENTRE]))
    query, box = match(logits, boxes, target, phrase_tokens([[0], [1]], 2))
    assert dict(zip(query.tolist(), box.tolist(), strict=True)) == {0: 1, 1: 0}


def test_dense_assignment_by_size_and_distance() -> None:
    centres, levels = places_of([(16, 16), (8, 8), (4, 4)])
    target = Target(torch.tensor([0]), torch.tensor([[0.3, 0.3, 0.05, 0.05]]))
    closeness, _ = dense_assignment(target, centres, levels, sigma=0.11)
    assert closeness.max() == 1
    assert set(levels[closeness > 0].tolist()) == {0}
    assert (centres[closeness.argmax()] - 0.3).abs().max() <= 0.5 / 16 + 1e-6


def test_giou_of_separate_boxes() -> None:
    first, second = torch.tensor([[0.25, 0.5, 0.5, 1.0]]), torch.tensor([[0.875, 0.5, 0.25, 1.0]])
    iou, giou = paired_giou(first, second)
    assert iou.item() == 0
    assert giou.item() == pytest.approx(-0.25)
