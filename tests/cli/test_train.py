"""What `train` says at its end."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.cli.train import _summary, tell_training
from autolabel.run.train import Trained


@pytest.mark.parametrize(("images", "said"), [(1, "on the 1 image that chose"), (3, "on the 3 images that chose")])
def test_the_gain_is_told_with_its_images(images: int, said: str) -> None:
    mean: dict[str, Any] = {"mean": {"value": 0.25, "interval": [0.0, 0.5]}}
    gain = {"value": 0.0, "interval": [-0.1, 0.1]}
    figures = {"metric": "AP", "images": images, "step": 0, "before": mean, "after": mean, "gain": gain}
    lines = _summary(Trained(checkpoint="trained/checkpoint", train=4, dev=images, figures=figures))
    assert lines[1] == f"AP {said} the weights: 0.250 before, 0.250 after; gain +0.000 [-0.100, +0.100]"
    assert lines[2] == "no step improved it: the weights are unchanged"


def test_one_image_alone_has_no_interval() -> None:
    mean: dict[str, Any] = {"mean": {"value": 0.25, "interval": None}}
    gain = {"value": 0.5, "interval": None}
    figures = {"metric": "AP", "images": 1, "step": 9, "before": mean, "after": mean, "gain": gain}
    lines = _summary(Trained(checkpoint="trained/checkpoint", train=4, dev=1, figures=figures))
    assert lines[1].endswith("0.250 before, 0.250 after; gain +0.500")


def test_how_a_training_goes_on_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tell_training({"event": "course", "train": 1, "dev": 0, "steps": 20})
    tell_training({"event": "resumed", "step": 7})
    assert capsys.readouterr().err.splitlines() == [
        "1 image to learn from, 0 to choose by, 20 steps",
        "resumed after step 7",
    ]
