"""Mask Auto-Labeler as a strategy: boxes to masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autolabel.strategies import FineTuning, Segmenter
from autolabel.types import Instances, Rle, Sample, Size
from autolabel.weights import Licence, files_of, locate_checkpoint
from autolabel_labeling.given_boxes import clip_box, given_region, is_crowd
from autolabel_mal.choose import check_networks
from autolabel_mal.crop import region
from autolabel_mal.description import licence
from autolabel_mal.job import Job
from autolabel_mal.learning.settings import MaskTrainingSettings
from autolabel_mal.params import MalParams

if TYPE_CHECKING:
    from autolabel_mal.ensemble import Ensemble, Started

_T = TypeVar("_T")
_CUTTERS = 4
"""Threads that cut crops while a GPU works; on a CPU the network uses the cores itself."""

_GPU_BATCH = 8


class Mal(Segmenter):
    """Mask Auto-Labeler (arXiv 2301.03992): segments the object in a crop around each box."""

    name = "mal"

    class Params(MalParams):
        """Fields that TAO also has keep TAO's names and defaults; network sizes come from the file."""

    params: MalParams
    Training = MaskTrainingSettings

    def __init__(self, params: MalParams) -> None:
        super().__init__(params)
        self._counts = {"crops": 0, "forwards": 0}

    def files(self) -> Sequence[Path]:
        """Return the checkpoint's files; raises WeightsError if there is none."""
        return files_of(locate_checkpoint(self.params.checkpoint))

    def check(self) -> None:
        """Raise WeightsError if the checkpoint's tensors do not match the requested networks."""
        check_networks(locate_checkpoint(self.params.checkpoint), self.params)

    def licence(self) -> Licence:
        """Return the checkpoint's licence; NVIDIA's for TAO's and NVlabs' files unless a file beside them states it."""
        return licence(locate_checkpoint(self.params.checkpoint))

    def fine_tune(self, task: FineTuning[MaskTrainingSettings]) -> None:
        """Train the heads and the later part of the backbone on images with known boxes; no masks are needed.

        Dev images whose annotations have a ``segmentation`` decide which weights are kept; without any, the last are.
        """
        from autolabel_mal.learning.tuning import MaskTraining
        from autolabel_training.timed import train_in_time

        train_in_time(MaskTraining(self, task), task)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return one key for all images, because all crops have one size."""
        return ()

    def load(self, device: str) -> None:
        """Read the networks onto ``device``."""
        from autolabel_mal.ensemble import Ensemble
        from autolabel_mal.load import load_networks

        networks = load_networks(locate_checkpoint(self.params.checkpoint), self.params)
        if self.params.precision == "bfloat16" and device == "cpu":
            for network in networks:
                network.halve()
        self._ensemble: Ensemble = Ensemble(
            networks,
            device=device,
            flip=self.params.flip,
            refined=self.params.refine == "mean_field",
            half=self.params.use_amp and device.startswith("cuda"),
        )
        self._counts = {"crops": 0, "forwards": 0}
        self._batch_size = self.params.batch_size or (1 if device == "cpu" else _GPU_BATCH)
        self._map: Callable[[Callable[[Job], Any], Iterable[Job]], Iterator[Any]] = map
        if device != "cpu":
            self._map = ThreadPoolExecutor(_CUTTERS).map

    def counters(self) -> dict[str, int]:
        """Return how many crops were cut and how many forward passes were made since ``load``."""
        return dict(self._counts)

    def segment(self, batch: Sequence[Sample]) -> Sequence[Instances]:
        """Return every box of each sample with its mask, in order; boxes are not changed.

        A box that reaches outside its image is clipped first. The mask is None for a box without area inside, and for a
        crowd (``iscrowd`` among the given fields) without an input region.
        """
        masks: list[list[Rle | None]] = [[None] * len(sample.instances) for sample in batch]
        jobs = []
        for number, sample in enumerate(batch):
            for index in range(len(sample.instances)):
                if is_crowd(sample, index):
                    masks[number][index] = given_region(sample, index)
                elif job := self._job(sample, number, index):
                    jobs.append(job)
        for job, mask in self._masks(jobs):
            masks[job.sample][job.index] = mask
        return [replace(sample.instances, masks=tuple(own)) for sample, own in zip(batch, masks, strict=True)]

    def _job(self, sample: Sample, number: int, index: int) -> Job | None:
        size = sample.pixels.shape[:2]
        box = clip_box(sample.instances.boxes[index], size)
        if box is None:
            return None
        at = region(box, size, self.params.test_margin_rate)
        threshold = self.params.mask_thres[min(at.group, len(self.params.mask_thres) - 1)]
        return Job(sample=number, index=index, pixels=sample.pixels, region=at, threshold=threshold)

    def _masks(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Rle]]:
        """Run batches of crops; while a GPU works on one, the one before is encoded and the next is cut."""
        running: Started | None = None
        for chunk in _chunks(jobs, self._batch_size):
            crops = list(self._map(self._ensemble.cut, chunk))
            started = self._ensemble.start(chunk, crops)
            self._counts["crops"] += len(chunk)
            self._counts["forwards"] += self._ensemble.passes
            if running is not None:
                yield from running.finish()
            running = started
        if running is not None:
            yield from running.finish()


def _chunks(items: Iterable[_T], count: int) -> Iterator[list[_T]]:
    source = iter(items)
    while chunk := list(islice(source, count)):
        yield chunk
