"""Judging masks: windows, truths, the masks that need no learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autolabel.types import Rle
from autolabel_mal.learning.mask_probes import MaskProbe, NetworkMasks, filled, mask_probes, overlaps
from autolabel_mal.learning.picture import BoxedPicture
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import Sizes
from training.mal.baselines import ellipses, full_boxes
from training.mal.evaluate import interval, judge
from training.mal.validate import Validator

SIZES = Sizes(lite=True, width=8, convs=4, hidden=8, out=4, crop=64)


def a_picture() -> BoxedPicture:
    """A disc in a box that touches the picture's left side, and an object too small to be asked for."""
    rows, columns = np.mgrid[:60, :80]
    disc = (rows - 29.5) ** 2 + (columns - 19.5) ** 2 <= 20**2
    small = np.zeros((60, 80), bool)
    small[2:6, 70:74] = True
    boxes = np.array([[0, 10, 40, 50], [70, 2, 74, 6]], np.float32)
    pixels = np.where(disc[:, :, None], np.uint8(200), np.uint8(20)).repeat(3, axis=2)
    return BoxedPicture(pixels, boxes, (Rle.encode(disc), Rle.encode(small)))


def asked() -> list[MaskProbe]:
    return mask_probes([a_picture()], smallest_side=24)


def test_small_boxes_are_not_asked_for_and_windows_stay_in_the_picture() -> None:
    (exam,) = asked()
    assert exam.reach.shape == exam.truth.shape
    assert exam.reach.sum() == 41 * 41  # the labeler's box takes its last row and column too
    assert exam.truth.sum() == a_picture().masks[0].area()
    assert exam.cut(a_picture().pixels()).shape[:2] == exam.reach.shape


def test_the_ellipse_fills_a_disc_and_the_box_is_full() -> None:
    values = overlaps(asked(), ellipses(asked())), overlaps(asked(), full_boxes(asked()))
    assert values[0][0] > 0.94
    assert values[1][0] == pytest.approx(np.pi / 4, abs=0.03)
    assert full_boxes(asked())[0].sum() == 1600
    assert filled(asked(), ellipses(asked()))[0] == pytest.approx(np.pi / 4 * 1600 / 41**2, abs=0.01)


def test_a_network_is_asked_as_the_labeler_asks_it() -> None:
    network = MalNetwork(SIZES).eval()
    with torch.no_grad():
        network.roi_head.mlp2.weight.zero_()
        network.roi_head.mlp2.bias.fill_(1.0)
        network.mask_head.convs[-1].get_submodule("conv").get_parameter("bias").fill_(5.0)
    (mask,) = NetworkMasks(network, threshold=0.5)(asked())
    (exam,) = asked()
    assert mask.shape == exam.reach.shape
    assert (mask & exam.reach).sum() / exam.reach.sum() > 0.95
    result = Validator({"discs": asked(), "none": []}, threshold=0.5)(network)
    assert result is not None
    assert result.iou == {"discs": pytest.approx(np.pi / 4, abs=0.04)}
    assert Validator({}, threshold=0.5)(network) is None


def test_rows_of_the_table() -> None:
    row = judge("discs", "ellipse", asked() * 3, ellipses)
    assert (row.boxes, row.good) == (3, 1.0)
    assert row.interval[0] <= row.mean <= row.interval[1]
    assert str(row).split()[:3] == ["discs", "ellipse", "3"]


def test_the_interval_draws_whole_pictures() -> None:
    values = np.array([0.0, 0.0, 1.0, 1.0])
    low, high = interval(values, [1, 1, 2, 2])
    assert (low, high) == (0.0, 1.0)
    assert interval(values, [1, 1, 1, 1]) == (0.5, 0.5)
