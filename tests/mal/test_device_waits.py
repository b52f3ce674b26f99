"""The host hands a GPU the work of a batch of crops without waiting for any of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autolabel.transfer import to_device
from autolabel_mal.crop import region
from autolabel_mal.ensemble import Ensemble
from autolabel_mal.labeler import Mal
from autolabel_mal.load import load_networks
from autolabel_mal.refine import refine
from tests.device_waits import waits_noted

BOXES = [(10.0, 10.0, 40.0, 50.0), (0.0, 0.0, 190.0, 170.0), (3.0, 3.0, 5.0, 4.0)]


@pytest.mark.parametrize("flip", [False, True])
def test_masks_wait_for_nothing(flip: bool, checkpoint: Path) -> None:
    networks = load_networks(checkpoint, Mal.Params(checkpoint=str(checkpoint)))
    ensemble = Ensemble(networks, device="meta", flip=flip, refined=True, half=True)
    size, thresholds = (180, 200), [0.1, 0.2, 0.3]
    regions = [region(np.array(box, np.float32), size, (0.6, 0.6)) for box in BOXES]
    with waits_noted() as waits:
        crops = to_device(torch.zeros(3, ensemble.side, ensemble.side, 3, dtype=torch.uint8), "meta")
        logits = ensemble.logits(crops, torch.tensor([at.group for at in regions]))
        logits = refine(logits, crops, regions, thresholds)
    assert len(logits) == 3
    assert waits == []
