"""The two losses that teach masks from boxes: multiple instances along rows and columns, agreement with the CRF."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic.dataclasses import dataclass as record
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from autolabel_mal.learning.crops import CropBatch
from autolabel_mal.mean_field import log_odds, standardised
from autolabel_mal.refine import Field, settled
from autolabel_training.recipe import STRICT

_EPSILON = 1e-4


@record(frozen=True, config=STRICT)
class MaskLossRecipe:
    """Weights of the two losses, their schedule, and the mean field of the second."""

    decision: float
    """The labeler's mask threshold; logits are shifted so that this probability counts as one half."""
    mil_weight: float
    crf_weight: float
    crf_start: int
    """Step at which the CRF loss begins."""
    crf_ramp: int
    """Steps over which it then rises to its weight."""
    field: Field
    """Parameters of the mean field that makes labels from probabilities and colours."""


@dataclass(frozen=True)
class _BoxLoss:
    """The loss to minimise, and its parts for the log."""

    total: Tensor
    parts: dict[str, float]


def dice(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - 2 <p, t> / (|p|^2 + |t|^2) over the last axis; two empty vectors differ by 1 at most."""
    overlap = (probabilities * targets).sum(-1)
    return 1 - 2 * overlap / (probabilities.square().sum(-1) + targets.square().sum(-1) + _EPSILON)


def mil_loss(probabilities: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return (B,) how far the maxima of each row and column are from the box's rows and columns (B, side).

    Every row and column that crosses the box holds at least one pixel of the object, every other none: bags with one
    positive or none (arXiv 2301.03992, section 3.2). ``probabilities`` is (B, side, side).
    """
    return dice(probabilities.amax(2), rows) + dice(probabilities.amax(1), columns)


def crf_loss(probabilities: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
    """Return (B,) the dice loss inside the box to the labels (B, side, side) of the mean field."""
    return dice((probabilities * inside).flatten(1), labels.flatten(1))


@torch.no_grad()
def crf_labels(probabilities: Tensor, batch: CropBatch, recipe: MaskLossRecipe) -> Tensor:
    """Return (B, side, side) labels 0 and 1: where the mean field ends above one half, holes of solid objects filled.

    The mean field starts from the probabilities and, unlike the paper's CRF, from the colour evidence of the crop.
    """
    colours = standardised(batch.pixels, probabilities.shape[-1])
    labels = settled(probabilities, colours, box_masks(batch), recipe.field) > 0.5
    for index in torch.nonzero(batch.solid).flatten().tolist():
        labels[index] = _filled(labels[index])
    return labels.float()


def _filled(mask: Tensor) -> Tensor:
    """Return a mask (h, w) with the background that no path joins to the edge of the crop made part of it."""
    return torch.from_numpy(binary_fill_holes(mask.cpu().numpy())).to(mask.device)


def box_masks(batch: CropBatch) -> Tensor:
    """Return (B, side, side): 1 inside each box."""
    return batch.rows[:, :, None] * batch.columns[:, None, :]


def box_supervised_loss(
    student: Tensor, teacher: Tensor, batch: CropBatch, *, recipe: MaskLossRecipe, step: int
) -> _BoxLoss:
    """Combine both losses for logits (B, side, side) of student and teacher.

    The masks are what lies above the recipe's decision, so logits count from there: at it, a pixel is half inside.
    The mean field starts at the mean of the two (the paper's ensemble). The parts include ``area``, the part of the box
    that the student's mask fills: 1 means the full box, a solution that satisfies the MIL loss alone.
    """
    probabilities, inside = calibrated(student, recipe.decision), box_masks(batch)
    mil = mil_loss(probabilities, batch.rows, batch.columns).mean()
    labels = crf_labels((probabilities.detach() + calibrated(teacher, recipe.decision)) / 2, batch, recipe)
    crf = crf_loss(probabilities, labels, inside).mean()
    total = recipe.mil_weight * mil + crf_weight(recipe, step) * crf
    boxes = inside.sum((1, 2)).clamp(min=1)
    parts = {
        "mil": mil,
        "crf": crf,
        "area": (((probabilities > 0.5) * inside).sum((1, 2)) / boxes).mean(),
        "label_area": (labels.sum((1, 2)) / boxes).mean(),
        "loss": total,
    }
    return _BoxLoss(total, {name: float(value.detach()) for name, value in parts.items()})


def calibrated(logits: Tensor, decision: float) -> Tensor:
    """Return probabilities of logits, shifted so that `decision` becomes one half."""
    return (logits - log_odds(decision)).sigmoid()


def crf_weight(recipe: MaskLossRecipe, step: int) -> float:
    """Return the CRF's weight at a step: 0 until `crf_start`, then rising to full over `crf_ramp` steps."""
    return recipe.crf_weight * min(1.0, max(0.0, (step - recipe.crf_start) / max(1, recipe.crf_ramp)))
