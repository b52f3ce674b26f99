"""The training loss: dense targets for the encoder, one query per box for every decoder layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic.dataclasses import dataclass as record
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from autolabel_training.boxes import paired_giou
from autolabel_training.recipe import STRICT

# Square root of the box area, as a share of the picture, assigned to each stride (8, 16, 32, and 64 if present).
_SMALLEST_SIDE = (0.0, 0.12, 0.3, 0.55)
_LARGEST_SIDE = (0.25, 0.55, 9.0, 9.0)
_SMALLEST_TARGET_SIDE = 0.02
_CLASS_FLOOR = 0.03  # dense targets below this are zero
_BOX_FLOOR = 0.3  # dense places with a higher target also learn the box
_LEAST_QUALITY = 0.2  # class target of a matched query whose box does not overlap yet
_IMPOSSIBLE_COST = 1e3


@dataclass(frozen=True)
class Target:
    """The targets of a caption: phrase index (n,) and box (n, 4) as centre x, y, width, height in 0..1."""

    phrases: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class Predictions:
    """The heads' outputs for a batch with `tokens` caption tokens.

    layer_logits and layer_boxes hold one (batch, queries, tokens) and (batch, queries, 4) per decoder layer;
    dense_logits is (batch, places, tokens) and dense_boxes (batch, places, 4), one place per encoder cell.
    All are float32. Boxes are centre x, y, width, height in 0..1; token_mask (batch, tokens) is False on padding; spans
    name the token positions of each phrase of each caption; shapes are (height, width) of the encoder's maps, finest
    first.
    """

    layer_logits: list[Tensor]
    layer_boxes: list[Tensor]
    dense_logits: Tensor
    dense_boxes: Tensor
    token_mask: Tensor
    spans: list[list[list[int]]]
    shapes: Sequence[tuple[int, int]]


@record(frozen=True, config=STRICT)
class LossRecipe:
    """Weights of the loss terms and the width of the dense class targets in box sides.

    `class_weight` is that of the class loss of every decoder layer.
    """

    sigma: float
    dense_class_weight: float
    l1_weight: float
    giou_weight: float
    class_weight: float = 1.0


@dataclass(frozen=True)
class _LossTerms:
    """The loss to minimise and its parts, for the log."""

    total: Tensor
    parts: dict[str, float]


def detection_loss(predictions: Predictions, targets: Sequence[Target], recipe: LossRecipe) -> _LossTerms:
    """Return the loss of a batch, per box of the batch. Every picture has a caption of its own."""
    device = predictions.token_mask.device
    targets = [Target(target.phrases.to(device), target.boxes.to(device)) for target in targets]
    phrase_maps = [phrase_tokens(spans, predictions.token_mask.shape[1]).to(device) for spans in predictions.spans]
    boxes = max(1, sum(len(target.boxes) for target in targets))
    dense_class, dense_l1, dense_giou = _dense_terms(predictions, targets, phrase_maps, recipe.sigma)
    dense_class = dense_class / boxes
    total = recipe.dense_class_weight * dense_class + recipe.l1_weight * dense_l1 + recipe.giou_weight * dense_giou
    parts = {"dense_class": dense_class.item(), "dense_giou": dense_giou.item()}
    layers = zip(predictions.layer_logits, predictions.layer_boxes, strict=True)
    for number, (logits, layer_boxes) in enumerate(layers, start=1):
        terms = _matched_terms(logits, layer_boxes, predictions.token_mask, targets, phrase_maps)
        class_term, l1, giou = (term / boxes for term in terms)
        total = total + recipe.class_weight * class_term + recipe.l1_weight * l1 + recipe.giou_weight * giou
        parts |= {f"class{number}": class_term.item(), f"giou{number}": giou.item()}
    return _LossTerms(total, parts | {"loss": total.item()})


def phrase_tokens(spans: Sequence[Sequence[int]], tokens: int) -> Tensor:
    """Return (phrases, tokens) with 1 if a token belongs to a phrase."""
    result = torch.zeros(len(spans), tokens)
    for phrase, positions in enumerate(spans):
        result[phrase, list(positions)] = 1
    return result


def _quality_focal_loss(logits: Tensor, targets: Tensor, token_mask: Tensor) -> Tensor:
    """Return the summed quality focal loss (Li et al. 2020, beta 2) of logits (batch, n, tokens).

    `targets` has the same shape, in 0..1; padding tokens, False in `token_mask` (batch, tokens), do not count.
    """
    counted = token_mask[:, None, :]
    logits = logits.masked_fill(~counted, -20.0)
    distance = (logits.detach().sigmoid() - targets).square()
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (entropy * distance * counted).sum()


@torch.no_grad()
def dense_assignment(target: Target, centres: Tensor, levels: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return, for every place (places,), its target weight in 0..1, and the index of its box.

    A place is assigned to boxes of its level's size, weighted by a Gaussian of its distance from the box centre in box
    sides; the nearest place of every box gets 1.
    """
    side = target.boxes[:, 2:].prod(1).sqrt()
    smallest, largest = (
        levels.new_tensor(sides, dtype=side.dtype)[levels] for sides in (_SMALLEST_SIDE, _LARGEST_SIDE)
    )
    fits = (side >= smallest[:, None]) & (side < largest[:, None])
    offset = (centres[:, None] - target.boxes[None, :, :2]) / target.boxes[None, :, 2:].clamp(min=_SMALLEST_TARGET_SIDE)
    closeness = torch.exp(-offset.square().sum(-1) / (2 * sigma**2)) * fits
    closeness = closeness / closeness.amax(0, keepdim=True).clamp(min=1e-6)
    closeness = torch.where(closeness > _CLASS_FLOOR, closeness, 0.0)
    return closeness.max(1)


def places_of(shapes: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Return centres (count, 2) as x, y in 0..1 and levels (count,) of the places of maps of these (height, width)."""
    centres, levels = [], []
    for level, (height, width) in enumerate(shapes):
        steps = [(torch.arange(side) + 0.5) / side for side in (height, width)]
        y, x = torch.meshgrid(*steps, indexing="ij")
        centres.append(torch.stack([x, y], -1).view(-1, 2))
        levels.append(torch.full((height * width,), level))
    return torch.cat(centres), torch.cat(levels)


def _dense_terms(
    predictions: Predictions, targets: Sequence[Target], phrase_maps: list[Tensor], sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the summed class loss and the mean box losses of the encoder, weighted by closeness."""
    centres, levels = (each.to(predictions.dense_logits.device) for each in places_of(predictions.shapes))
    class_targets = torch.zeros_like(predictions.dense_logits)
    found, wanted, weights = [], [], []
    for row, target in enumerate(targets):
        if not len(target.boxes):
            continue
        closeness, box = dense_assignment(target, centres, levels, sigma)
        class_targets[row] = phrase_maps[row][target.phrases[box]] * closeness[:, None]
        near = closeness > _BOX_FLOOR
        found.append(predictions.dense_boxes[row][near])
        wanted.append(target.boxes[box[near]])
        weights.append(closeness[near])
    class_term = _quality_focal_loss(predictions.dense_logits, class_targets, predictions.token_mask)
    if not found:
        return class_term, class_term.new_zeros(()), class_term.new_zeros(())
    l1, giou = _box_terms(torch.cat(found), torch.cat(wanted))
    weight = torch.cat(weights)
    return class_term, (l1 * weight).sum() / weight.sum(), (giou * weight).sum() / weight.sum()


def _matched_terms(
    logits: Tensor, boxes: Tensor, token_mask: Tensor, targets: Sequence[Target], phrase_maps: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the summed class, L1 and GIoU losses of one decoder layer, each box matched to one query."""
    class_targets = torch.zeros_like(logits)
    l1_sum, giou_sum = logits.new_zeros(()), logits.new_zeros(())
    for row, target in enumerate(targets):
        if not len(target.boxes):
            continue
        query, box = match(logits[row].detach(), boxes[row].detach(), target, phrase_maps[row])
        iou, giou = paired_giou(boxes[row][query], target.boxes[box])
        quality = iou.detach().clamp(min=_LEAST_QUALITY)
        class_targets[row, query] = phrase_maps[row][target.phrases[box]] * quality[:, None]
        l1_sum = l1_sum + (boxes[row][query] - target.boxes[box]).abs().sum()
        giou_sum = giou_sum + (1 - giou).sum()
    return _quality_focal_loss(logits, class_targets, token_mask), l1_sum, giou_sum


def match(logits: Tensor, boxes: Tensor, target: Target, phrase_map: Tensor) -> tuple[Tensor, Tensor]:
    """Return query and box indices of the cheapest one-to-one matching (focal class, L1 and GIoU cost)."""
    phrase_scores = logits.sigmoid() @ (phrase_map / phrase_map.sum(1, keepdim=True)).T
    score = phrase_scores[:, target.phrases].clamp(1e-6, 1 - 1e-6)
    class_cost = 0.25 * (1 - score).square() * -score.log() - 0.75 * score.square() * -(1 - score).log()
    pairs = (len(boxes), len(target.boxes), 4)
    _, giou = paired_giou(boxes[:, None].expand(pairs), target.boxes[None].expand(pairs))
    cost = 2 * class_cost + 5 * torch.cdist(boxes, target.boxes, p=1) - 2 * giou
    query, box = linear_sum_assignment(torch.nan_to_num(cost, nan=_IMPOSSIBLE_COST).cpu().numpy())
    return torch.from_numpy(query), torch.from_numpy(box)


def _box_terms(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    _, giou = paired_giou(found, wanted)
    return (found - wanted).abs().sum(-1), 1 - giou
