"""Put tensors on a device without holding up what it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on ``device``; a CUDA device copies it from pinned memory, in turn with its other work.

    A plain ``.to(device)``, or ``torch.tensor(..., device=device)``, has the host wait until the device has nothing
    left to do.
    """
    if str(device).startswith("cuda") and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
