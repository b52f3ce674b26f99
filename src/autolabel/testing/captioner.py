"""The contract of a captioner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autolabel.strategies import Captioner
from autolabel.testing.labeler import check_counters, check_labeler, check_pixels, loaded
from autolabel.testing.samples import example_samples
from autolabel.testing.subject import Subject
from autolabel.types import Sample


def check_captioner(
    strategy: type[Captioner], params: Mapping[str, Any], *, samples: Sequence[Sample] = (), device: str = "cpu"
) -> None:
    """Check a captioner on ``samples``; on the example samples unless given."""
    subject = Subject(strategy, params)
    samples = samples or example_samples()
    check_labeler(subject, Captioner, samples)
    subject.require(strategy.gives == "captions", "`gives` must be captions")
    before = [sample.pixels.tobytes() for sample in samples]
    captioner = loaded(subject, device)
    said = list(captioner.describe(samples))
    subject.require(len(said) == len(samples), f"`describe` must return {len(samples)} captions, found {len(said)}")
    for index, (sample, caption) in enumerate(zip(samples, said, strict=True)):
        told = isinstance(caption, str) and bool(caption.strip())
        subject.require(told, f"the caption of sample {index}: wanted text, found {caption!r}")
        [alone] = captioner.describe([sample])
        subject.require(alone == caption, f"sample {index} alone must get the same caption, found {alone!r}")
    subject.require(list(captioner.describe([])) == [], "`describe` of no samples must return nothing")
    check_counters(subject, captioner.counters())
    check_pixels(subject, samples, before)
