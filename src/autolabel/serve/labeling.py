"""Label images for requests, with limits and metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from starlette.concurrency import run_in_threadpool

from autolabel.errors import ImageError
from autolabel.images import decode_size, read_size
from autolabel.predict import Predictor
from autolabel.results import record
from autolabel.serve.limits import PixelBudget
from autolabel.serve.metrics import Metrics
from autolabel.serve.refusal import Refusal
from autolabel.types import Labels


class Labeling:
    """Labels images of requests with a predictor, within limits, and counts them."""

    def __init__(self, predictor: Predictor, metrics: Metrics) -> None:
        self.predictor = predictor
        self._metrics = metrics
        self._pixels = PixelBudget()

    async def label(self, image: bytes | str, classes: Sequence[str] | None, *, name: str | None = None) -> Labels:
        """Return the labels of an image's bytes, or of a file; raises as ``Predictor.predict`` does."""
        began = time.monotonic()
        in_memory = isinstance(image, bytes)  # reading a header is faster than starting a thread
        weight = self._weight(image) if in_memory else await run_in_threadpool(self._weight, image)
        async with self._pixels.take(weight):
            submit = partial(self.predictor.submit, image, classes, name=name)
            try:
                waiting = await run_in_threadpool(submit)
            except ValueError as error:
                raise Refusal(503, str(error), retry=5) from None
            labels = await asyncio.wrap_future(waiting)
        self._metrics.labelled(labels.state, len(labels.instances), time.monotonic() - began)
        return labels

    def _weight(self, image: bytes | str) -> int:
        """Return the number of pixels from an image's header; 0 if unreadable, because it will not be decoded."""
        most = self.predictor.plan.recipe.max_pixels
        with suppress(ImageError):
            height, width = decode_size(image, max_pixels=most) if isinstance(image, bytes) else read_size(image)
            return height * width
        return 0

    async def rows(self, images: Sequence[tuple[str, bytes]], classes: Sequence[str] | None) -> list[bytes]:
        """Return the rows of images, in their order, as lines of ``labels.jsonl`` have them."""
        digest = self.predictor.plan.digest
        waiting = [asyncio.ensure_future(self.label(data, classes, name=name)) for name, data in images]
        try:
            return [record.encode_labels(labels, digest) for labels in await asyncio.gather(*waiting)]
        finally:
            for one in waiting:
                one.cancel()  # no effect on finished ones
