"""What `train` says at its end."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.cli.train import _summary
from autolabel.run.train import Trained


@pytest.mark.parametrize(("images", "said"), [(1, "on the 1 image that chose"), (3, "on the 3 images that chose")])
def test_the_gain_is_told_with_its_images(images: int, said: str) -> None:
    mean: dict[str, Any] = {"mean": {"value": 0.25, "interval": [0.0, 0.5]}}
    gain = {"value": 0.0, "interval": [-0.1, 0.1]}
    figures = {"metric": "AP", "images": images, "step": 0, "before": mean, "after": mean, "gain": gain}
    lines = _summary(Trained(checkpoint="trained/checkpoint", train=4, dev=images, figures=figures))
    assert lines[1] == f"AP {said} the weights: 0.250 before, 0.250 after; gain +0.000 [-0.100, +0.100]"
    assert lines[2] == "no step improved it: the weights are unchanged"
