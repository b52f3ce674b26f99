"""The contract of a captioner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autolabel.strategies import Captioner
from autolabel.testing.labeler import check_answers
from autolabel.testing.samples import example_samples
from autolabel.testing.subject import Subject
from autolabel.types import Sample


def check_captioner(
    strategy: type[Captioner], params: Mapping[str, Any], *, samples: Sequence[Sample] = (), device: str = "cpu"
) -> None:
    """Check a captioner on ``samples``; on the example samples unless given."""
    subject = Subject(strategy, params)

    def check(name: str, sample: Sample, caption: Any, alone: Any) -> None:
        told = isinstance(caption, str) and bool(caption.strip())
        subject.require(told, f"the caption of {name}: wanted text, found {caption!r}")
        subject.require(alone == caption, f"{name} alone must get the same caption, found {alone!r}")

    check_answers(
        subject,
        samples or example_samples(),
        kind=Captioner,
        gives="captions",
        method="describe",
        device=device,
        check=check,
        noun="captions",
    )
