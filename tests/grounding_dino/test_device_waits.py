"""The host hands a GPU a whole round's work without waiting for any of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from autolabel_grounding_dino import deformable, torch_kernel
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.tensors import to_tensor
from tests.device_waits import waits_noted

CAPTIONS = [(101, 2000, 1012, 102), (101, 2001, 2002, 1012, 2003, 1012, 102)]


def kernel_of_a_gpu(value: Tensor, shapes: Tensor, starts: Tensor, references: Tensor, drawn: Tensor) -> Tensor:
    """Stands in for Triton's: the same shapes, and it too needs everything on the device."""
    assert {tensor.device.type for tensor in (value, shapes, starts, references, drawn)} == {"meta"}
    return value.new_empty(*drawn.shape[:2], *value.shape[2:])


@pytest.mark.parametrize("kernel", [kernel_of_a_gpu, torch_kernel.attend])
@pytest.mark.parametrize("second", [(72, 96), (60, 96)])
def test_seeing_and_asking_wait_for_nothing(
    kernel: deformable.Kernel, second: tuple[int, int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deformable, "fastest_kernel", lambda device: kernel)
    detector = GroundingDino(GroundingDino.Params(checkpoint=str(folder)))
    detector.load("meta")
    images = [np.zeros((*size, 3), np.uint8) for size in ((72, 96), second)]
    with waits_noted() as waits:
        seen = detector.network.see(to_tensor(images, (72, 96), detector.shaping, "meta"))
        for captions in (CAPTIONS, CAPTIONS[::-1]):
            answer = detector.network.ask(seen, captions)
    assert answer.boxes.device.type == "meta"
    assert answer.boxes.shape[0] == 2
    assert waits == []


def test_a_wait_is_noted() -> None:
    with waits_noted() as waits:
        values = torch.zeros(3, device="meta")
        values[torch.tensor([0, 2])] = 1
        values + torch.tensor([1.0, 2.0, 3.0], device="meta")
        torch.ones(3).to("meta")
        with pytest.raises(RuntimeError):
            bool(values.all())
        with pytest.raises(NotImplementedError):
            values[values > 0]
    assert [wait.split(" at ")[0] for wait in waits] == ["aten.index_put_.default", "tensor", "aten._to_copy.default"]
