"""The contract of a referrer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autolabel.errors import ImageError
from autolabel.strategies import Referrer
from autolabel.testing.labeler import check_answers
from autolabel.testing.samples import example_samples
from autolabel.testing.subject import Subject
from autolabel.testing.verifier import boxed
from autolabel.types import Sample


def check_referrer(
    strategy: type[Referrer], params: Mapping[str, Any], *, samples: Sequence[Sample] = (), device: str = "cpu"
) -> None:
    """Check a referrer on ``samples`` that have boxes; on two boxes in each of the example samples unless given."""
    subject = Subject(strategy, params)

    def check(name: str, sample: Sample, answer: Any, alone: Any) -> None:
        where, count = f"the answer to {name}", len(sample.instances)
        assert not isinstance(answer, ImageError), f"{where}: {answer.message}"
        subject.require(len(answer) == count, f"{where}: wanted {count} expressions, found {len(answer)}")
        told = all(one is None or (isinstance(one, str) and bool(one.strip())) for one in answer)
        subject.require(told, f"{where}: wanted texts, or None for a box without one, found {answer!r}")
        subject.require(alone == answer, f"{where}: a sample alone must get the same expressions, found {alone!r}")

    samples = samples or [boxed(sample) for sample in example_samples()]
    check_answers(subject, samples, kind=Referrer, gives="boxes", method="refer", device=device, check=check)
