"""Networks whose mean logits make the masks of a batch of crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from autolabel.errors import ImageError
from autolabel.transfer import to_device
from autolabel.types import Rle
from autolabel_mal import paste
from autolabel_mal.crop import UInt8, crop_image
from autolabel_mal.job import Job
from autolabel_mal.network import MalNetwork
from autolabel_mal.refine import refine


class Ensemble:
    """One network, or student and teacher, each run on the crop and optionally on its mirror image."""

    def __init__(self, networks: Sequence[MalNetwork], *, device: str, flip: bool, refined: bool, half: bool) -> None:
        self.networks = [network.to(device) for network in networks]
        self.device = torch.device(device)
        self.side = networks[0].sizes.crop
        self.flip = flip
        self.refined = refined
        self.half = half

    @property
    def passes(self) -> int:
        """Forward passes for one batch."""
        return len(self.networks) * (1 + self.flip)

    def cut(self, job: Job) -> UInt8:
        """Return a job's crop (side, side, 3)."""
        return crop_image(job.pixels, job.region, self.side)

    def batch(self, crops: Sequence[UInt8]) -> Tensor:
        """Return crops (side, side, 3) as one tensor (B, side, side, 3) on the device."""
        return to_device(torch.from_numpy(np.stack(crops)), self.device)

    @torch.inference_mode()
    def start(self, jobs: Sequence[Job], crops: Sequence[UInt8]) -> Started:
        """Start computing the masks of crops; on a GPU this returns before they are ready."""
        groups = torch.tensor([job.region.group for job in jobs])
        pixels = self.batch(crops)
        logits = self.logits(pixels, groups)
        if self.refined:
            logits = refine(logits, pixels, [job.region for job in jobs], [job.threshold for job in jobs])
        on_cuda = self.device.type == "cuda"
        moved = logits.to("cpu", non_blocking=on_cuda)
        event: torch.cuda.Event | None = None
        if on_cuda:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(self.device))
        return Started(jobs=jobs, logits=moved, side=self.side, event=event)

    def logits(self, crops: Tensor, groups: Tensor) -> Tensor:
        """Return mean logits (B, h, w) of crops (B, side, side, 3) uint8 whose objects are of size ``groups`` (B,)."""
        total: Tensor | None = None
        with torch.autocast(self.device.type, torch.float16, enabled=self.half):
            for network in self.networks:
                pixels = network.normalise(crops)
                one = network(pixels, groups)
                if self.flip:
                    one = (one + network(pixels.flip(3), groups).flip(2)) / 2
                total = one if total is None else total + one
        assert total is not None
        return total / len(self.networks) if len(self.networks) > 1 else total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Started:
    """Logits of a batch that may still be in transfer from the device."""

    jobs: Sequence[Job]
    logits: Tensor
    """(B, grid, grid) on the CPU."""
    side: int
    """The side of the crops."""
    event: torch.cuda.Event | None

    def finish(self) -> Iterator[tuple[Job, Rle]]:
        """Wait, then yield each job with its mask."""
        if self.event is not None:
            self.event.synchronize()
        encode = fastest_encode()
        if not bool(self.logits.isfinite().all()):
            raise ImageError("answer_not_finite", "the model's masks are not finite: its weights are damaged")
        for job, logits in zip(self.jobs, self.logits.numpy(), strict=True):
            size = job.pixels.shape[:2]
            yield job, encode(logits, job.region, size, side=self.side, threshold=job.threshold)


@cache
def fastest_encode() -> Callable[..., Rle]:
    """Return the function that turns logits into masks: with numba if installed, otherwise with numpy."""
    if find_spec("numba") is not None:
        from autolabel_mal import compiled

        return compiled.encode_mask_compiled
    return paste.encode_mask
