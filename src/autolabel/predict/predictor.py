"""The predictor: loaded labelers of a spec, for any number of images and threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Self

from autolabel.data.prefetch import prefetch
from autolabel.plan.model import Plan
from autolabel.predict.engine import Engine, WaitingImage
from autolabel.predict.photo import Given, PhotoReader
from autolabel.predict.pool import ImagePool
from autolabel.predict.question import Questions
from autolabel.registry import Registry
from autolabel.results.score_curves import Fit
from autolabel.results.select import handed_out
from autolabel.types import Instances, Labels

_BATCHES_AT_A_TIME = 2
"""Batches of images that a thread takes: those that are done early leave room for others."""


class Predictor:
    """Labels images as a run of the spec labels them; ``autolabel.open`` makes one.

    Threads may share it; their simultaneous requests share batches. It writes nothing.
    """

    def __init__(self, plan: Plan, engines: Sequence[Engine], *, registry: Registry, fit: Fit | None = None) -> None:
        recipe, execution = plan.recipe, plan.execution
        self.plan = plan
        """The plan; its digest is in every row."""
        self._fit = fit
        self._questions = Questions(plan, registry=registry)
        self._reader = PhotoReader(
            max_pixels=recipe.max_pixels,
            value_range=recipe.value_range,
            roots=plan.manifest.roots,
            hashes=execution.candidates is not None,
        )
        self._ahead = 2 * _BATCHES_AT_A_TIME * recipe.batch_size * len(engines)
        self._pool = ImagePool(engines, threads=execution.threads, most=_BATCHES_AT_A_TIME * recipe.batch_size)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the spec names, in its order."""
        return self.plan.manifest.classes

    @property
    def waiting(self) -> int:
        """The number of queued images."""
        return self._pool.waiting

    def predict(
        self, image: Given, classes: Sequence[str] | None = None, *, name: str | None = None, raw: bool = False
    ) -> Labels:
        """Label one image: the row that a run of the spec writes about it.

        ``image`` is a path or URL, the bytes of an image file, a PIL image, or (H, W, 3) uint8 RGB pixels of the
        upright image; EXIF orientation is applied except to pixels. ``classes`` replace the spec's. ``name`` becomes
        the image's id; by default that is the id of the file in a run, or the file's name. Thresholds, size filters and
        calibrated scores of the spec's ``output`` are applied, unless ``raw``.

        An image that cannot be read or labelled gives a failed row with the reason. Raises SpecError for wrong classes,
        TypeError or DataError for an argument that is not an image, ValueError on a closed predictor, MachineError if
        the device fails.
        """
        return self.submit(image, classes, name=name, raw=raw).result()

    def predict_many(
        self, images: Iterable[Given], classes: Sequence[str] | None = None, *, raw: bool = False
    ) -> Iterator[Labels]:
        """Yield the labels of images, in order, as ``predict`` returns them; a few images are read ahead.

        An invalid argument raises when its labels would be yielded.
        """
        threads = max(2, self._ahead)
        return prefetch(partial(self.predict, classes=classes, raw=raw), images, threads=threads, ahead=threads)

    def submit(
        self, image: Given, classes: Sequence[str] | None = None, *, name: str | None = None, raw: bool = False
    ) -> Future[Labels]:
        """Read an image, queue it, and return a future of its labels; raises as ``predict`` does.

        A future that is cancelled while queued is not computed.
        """
        prompt = self._questions.prompt(classes)
        photo = self._reader.read(image, name=name)
        row = Labels(image=photo.image, prompt=prompt, instances=Instances.empty(), reason=photo.reason)
        job = WaitingImage(row, photo, _as_it_is if raw else self._handed_out)
        self._pool.submit(job)
        return job.answer

    def _handed_out(self, row: Labels) -> Labels:
        outputs = self.plan.outputs
        return handed_out(row, limits=outputs.filter, thresholds=outputs.thresholds, review=None, fit=self._fit)

    def close(self) -> None:
        """Label the queued images, then stop; further calls raise ValueError."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _as_it_is(row: Labels) -> Labels:
    return row
