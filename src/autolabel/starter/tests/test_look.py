"""The look keeps autolabel's contract."""

from __future__ import annotations

import numpy as np
from autolabel.testing import check_look

from autolabel_starter.look import StarterLook


def test_it_keeps_the_contract() -> None:
    check_look(StarterLook, {"times": 3})


def test_every_pixel_is_a_square() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    seen = StarterLook(StarterLook.Params(times=2)).apply(pixels)
    assert seen.shape == (2, 4, 3)
    assert seen[1, 3].tolist() == [3, 4, 5]
