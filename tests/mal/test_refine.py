"""Colour evidence by hand, and refinement of a mask by the crop it was made from."""

from __future__ import annotations

import math

import numpy as np
import torch

from autolabel_mal.colours import BINS, PRIOR_PIXELS, colour_evidence
from autolabel_mal.crop import box_profiles, region
from autolabel_mal.refine import Field, refine, settled

RED, GREEN = (1.7, -1.7, 0.1), (-1.7, 1.7, 0.1)


def painted(*rows: str) -> torch.Tensor:
    colours = torch.tensor([[RED if mark == "r" else GREEN for mark in row] for row in rows])
    return colours.permute(2, 0, 1)[None]


def test_evidence_is_the_log_ratio_of_the_two_histograms() -> None:
    colours = painted("rrrg", "gggg")
    probabilities = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    found = colour_evidence(probabilities, colours)
    # A corner-free bin keeps (1/2)**3 of its pixels; red is 2 of 2 inside and 1 of 6 outside, green 0 and 5 of 6.
    kept, prior = 0.5**3, PRIOR_PIXELS / 8
    red = math.log((kept + prior) / (kept / 6 + prior))
    green = math.log(prior / (kept * 5 / 6 + prior))
    wanted = torch.tensor([[[red, red, red, green], [green] * 4]])
    torch.testing.assert_close(found, wanted)


def test_no_object_says_nothing_for_certain() -> None:
    evidence = colour_evidence(torch.zeros(1, 4, 4), torch.zeros(1, 3, 4, 4))
    assert torch.isfinite(evidence).all()
    assert (evidence < 0).all()


def test_colours_beyond_the_range_fall_into_the_outermost_bins() -> None:
    inner, outer = torch.full((1, 3, 1, 1), 9.0), torch.full((1, 3, 1, 1), 1.99)
    one = torch.ones(1, 1, 1)
    torch.testing.assert_close(colour_evidence(one, inner), colour_evidence(one, outer))
    assert BINS % 2 == 0


def test_colours_overrule_a_mask_that_holds_a_corner_of_the_background() -> None:
    rows = ["gggggggg", *["grrrrrrg"] * 5, "grrrgggg", "gggggggg"]
    inside = torch.zeros(1, 8, 8)
    inside[:, 1:7, 1:7] = 1
    kept = settled(inside * 0.8, painted(*rows), inside, Field(colour_weight=4.0))
    wanted = torch.tensor([[[mark == "r" for mark in row] for row in rows]])
    assert ((kept > 0.5) == wanted).all()


def test_refined_logits_are_cut_at_the_same_threshold() -> None:
    pixels = np.full((64, 64, 3), (30, 120, 40), np.uint8)
    disc = (np.arange(64)[:, None] - 32) ** 2 + (np.arange(64)[None] - 32) ** 2 <= 15**2
    pixels[disc] = (220, 40, 30)
    at = region(np.array([16, 16, 48, 48], np.float32), (64, 64), (0.6, 0.6))
    crop = pixels[at.top : at.top + at.height, at.left : at.left + at.width]
    truth = torch.from_numpy(disc[at.top : at.top + at.height, at.left : at.left + at.width])
    side = at.height
    rows, columns = (torch.tensor(line).float() for line in box_profiles(at, side))
    for threshold in (0.1, 0.5):
        start = math.log(threshold / (1 - threshold))
        logits = torch.where(rows[:, None] * columns[None] > 0, start + 1.0, start - 4.0)[None]
        found = refine(logits, torch.tensor(crop)[None], [at], [threshold], field=Field(colour_weight=4.0))
        mask = found.sigmoid()[0] > threshold
        assert ((mask & truth).sum() / (mask | truth).sum()) > 0.95
        assert ((logits.sigmoid()[0] > threshold) & ~truth).sum() > 200
