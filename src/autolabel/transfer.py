"""Copy tensors to a device without synchronising with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on ``device``; for CUDA, the copy from pinned memory is queued in the current stream.

    A plain ``.to(device)``, or ``torch.tensor(..., device=device)``, makes the host wait for the device.
    """
    if str(device).startswith("cuda") and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
