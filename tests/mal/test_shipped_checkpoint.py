"""The mask checkpoint that ships: found by name, masks that follow outlines, with and without refinement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autolabel.types import Image, Instances, Prompt, Sample
from autolabel.weights import shipped
from autolabel_mal.description import describe
from autolabel_mal.labeler import Mal

SIZE = (120, 160)
ROWS, COLUMNS = np.mgrid[:120, :160]
DISC = (ROWS - 59.5) ** 2 + (COLUMNS - 49.5) ** 2 <= 30**2
TRIANGLE = (ROWS >= 40) & (ROWS < 90) & (np.abs(COLUMNS - 119.5) <= (ROWS - 39) * 0.5)
BOXES = [(20, 30, 80, 90), (95, 40, 145, 90)]


def a_sample() -> Sample:
    grain = np.random.default_rng(0).normal(0, 6, (*SIZE, 3))
    pixels = np.full((*SIZE, 3), (90, 110, 80)) + grain
    pixels[DISC], pixels[TRIANGLE] = pixels[DISC] + (90, -40, 20), pixels[TRIANGLE] + (-60, 20, 90)
    return Sample(
        image=Image(id="a.png", path="", size=SIZE),
        pixels=pixels.clip(0, 255).astype(np.uint8),
        prompt=Prompt(("shape",)),
        instances=Instances.build(BOXES, scores=[1.0, 1.0], labels=[0, 0], rounds=-1),
    )


def test_it_is_found_by_name_and_small_and_free() -> None:
    folder = shipped()["tiny-mal"]
    assert sum(file.stat().st_size for file in folder.iterdir() if file.suffix == ".safetensors") < 6_000_000
    assert describe(folder).crop_size == 192
    licence = Mal(Mal.Params(checkpoint="tiny-mal")).licence()
    assert (licence.name, licence.commercial) == ("apache-2.0", True)
    assert {Path(file).name for file in Mal(Mal.Params(checkpoint="tiny-mal")).files()} >= {"model.safetensors"}


@pytest.mark.parametrize("refine", ["none", "mean_field"])
def test_masks_follow_outlines(refine: str) -> None:
    mal = Mal(Mal.Params.model_validate({"checkpoint": "tiny-mal", "refine": refine}))
    mal.load("cpu")
    (found,) = mal.segment([a_sample()])
    assert found.masks is not None
    for mask, truth in zip(found.masks, (DISC, TRIANGLE), strict=True):
        assert mask is not None
        inside = mask.decode()
        assert (inside & truth).sum() / (inside | truth).sum() > 0.85
