"""Every labeler of a transformers model in bfloat16: its vision tower alone is rounded, and answers stay near."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autolabel.types import Instances
from autolabel_labeling.half import HalfLinear
from autolabel_transformers.omdet_turbo import OmdetTurbo
from autolabel_transformers.owlv2 import Owlv2
from autolabel_transformers.sam import Sam
from autolabel_transformers.sam2 import Sam2
from autolabel_transformers.sam3 import Sam3
from tests.labelers.tiny_models import photo

LABELERS = {"owlv2": Owlv2, "omdet": OmdetTurbo, "sam3": Sam3, "sam": Sam, "sam2": Sam2}


def answer(kind: Any, folder: str, precision: str) -> tuple[Any, Instances]:
    labeler = kind(kind.Params(checkpoint=folder, precision=precision))
    labeler.load("cpu")
    sample = photo(60, 97, "cat", "dog", seed=1)
    if hasattr(labeler, "segment"):
        boxes = np.array([[3.5, 4, 40, 30], [10, 20, 60, 58]], np.float32)
        given = Instances.build(boxes, scores=[0.5, 0.5], labels=[0, 0])
        return labeler, labeler.segment([replace(sample, instances=given)])[0]
    seen = labeler.prepare([labeler.preprocess(sample)])
    return labeler, labeler.detect(seen, [sample.prompt], 0.0)[0]


def layers(labeler: Any) -> list[str]:
    return [
        type(part).__name__ for part in labeler._network._model.modules() if isinstance(part, nn.Linear | HalfLinear)
    ]


def values(found: Instances) -> torch.Tensor:
    """Return scores in order, or the pixels of masks: both between 0 and 1."""
    if found.masks and not found.scores.std():
        return torch.from_numpy(np.stack([mask.decode() for mask in found.masks if mask])).float()
    return torch.from_numpy(np.sort(found.scores))


@pytest.mark.parametrize("name", LABELERS)
def test_the_vision_tower_alone_is_rounded(name: str, request: pytest.FixtureRequest) -> None:
    folder = str(request.getfixturevalue(name))
    exact, found = answer(LABELERS[name], folder, "float32")
    half, near = answer(LABELERS[name], folder, "bfloat16")
    assert "HalfLinear" not in layers(exact)
    assert {"HalfLinear", "Linear"} == set(layers(half)), "some layers in the tower, and none outside"
    apart = (values(found) - values(near)).abs()
    assert apart.mean() < 0.05 and len(found) == len(near) > 0
