"""A spec as a model for ``dataset.apply_model``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import fiftyone as fo
import fiftyone.core.models as fom

from autolabel.integrations.fiftyone.detections import to_detections
from autolabel.predict import Predictor, Source, open_predictor
from autolabel.types import Labels


class Model(fom.SamplesMixin, fom.Model):  # type: ignore[misc]
    """Labels samples as a run of the spec would: ``dataset.apply_model(Model("street.yaml"), "autolabel")``.

    Files are read by autolabel, upright and with full bit depth; given pixels are only used without a sample. Call
    ``close``, or use it in a ``with`` block.
    """

    def __init__(self, source: Source, *, classes: Sequence[str] | None = None, device: str | None = None) -> None:
        """Open a spec, or a run; raises as ``autolabel.open`` does."""
        fom.SamplesMixin.__init__(self)
        self._predictor: Predictor = open_predictor(source, device=device)
        self._classes = classes

    @property
    def media_type(self) -> str:
        """The media type that the model labels."""
        return "image"

    @property
    def ragged_batches(self) -> bool:
        """Whether images of a batch may differ in size: True, they are not stacked."""
        return True

    @property
    def transforms(self) -> None:
        """The preprocessing of images: None."""
        return

    @property
    def preprocess(self) -> bool:
        """Whether ``transforms`` are applied: False, there are none."""
        return False

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        """Ignore the setting."""

    def predict(self, arg: Any, sample: Any = None) -> fo.Detections:
        """Label one sample, or (H, W, 3) uint8 RGB pixels; raises RuntimeError if that fails."""
        return self.predict_all([arg], samples=None if sample is None else [sample])[0]

    def predict_all(self, args: Any, samples: Any = None) -> list[fo.Detections]:
        """Label several samples in batches."""
        given = [sample.filepath for sample in samples] if samples is not None else list(args)
        waiting: list[Future[Labels]] = [self._predictor.submit(one, self._classes) for one in given]
        return [_detections(one.result()) for one in waiting]

    def close(self) -> None:
        """Free the models."""
        self._predictor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Keep the models loaded; FiftyOne exits the context after every ``apply_model``."""


def _detections(labels: Labels) -> fo.Detections:
    if labels.reason is not None:
        raise RuntimeError(f"{labels.image.id}: {labels.reason.message}")
    return to_detections(labels)
