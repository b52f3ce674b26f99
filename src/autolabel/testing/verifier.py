"""The contract of a verifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autolabel.strategies import Verifier
from autolabel.testing.labeler import check_answers
from autolabel.testing.samples import example_samples
from autolabel.testing.subject import Subject
from autolabel.types import Instances, Prompt, Sample

_TOLERANCE = 1e-4


def check_verifier(
    strategy: type[Verifier],
    params: Mapping[str, Any],
    *,
    samples: Sequence[Sample] = (),
    device: str = "cpu",
    tolerance: float = _TOLERANCE,
) -> None:
    """Check a verifier on ``samples`` that have boxes; on two boxes in each of the example samples unless given.

    Verdicts in a batch and alone may differ by ``tolerance``.
    """
    subject = Subject(strategy, params)

    def check(name: str, sample: Sample, answer: Any, alone: Any) -> None:
        where, count = f"the answer to {name}", len(sample.instances)
        subject.require(isinstance(answer, np.ndarray), f"{where}: wanted an array, found {answer!r}")
        assert isinstance(answer, np.ndarray)
        subject.require(answer.shape == (count,), f"{where}: wanted {count} verdicts, found the shape {answer.shape}")
        known = answer[np.isfinite(answer)]
        subject.require(((known >= 0) & (known <= 1)).all(), f"{where}: verdicts must be in [0, 1], found {answer}")
        close = np.allclose(np.asarray(alone), answer, rtol=0, atol=tolerance, equal_nan=True)
        subject.require(close, f"{where}: a sample alone must get the same verdicts, found {alone} and {answer}")

    samples = samples or [boxed(sample) for sample in example_samples()]
    check_answers(subject, samples, kind=Verifier, gives="boxes", method="verify", device=device, check=check)


def boxed(sample: Sample) -> Sample:
    """Return a sample with two boxes, the second over all of it."""
    height, width = sample.image.size
    boxes = [(width / 4, height / 4, width / 2, height / 2), (0, 0, width, height)]
    found = Instances.build(boxes, scores=[0.5, 0.4], labels=[0, 0], rounds=0)
    return Sample(image=sample.image, pixels=sample.pixels, prompt=Prompt(("thing",)), instances=found)
