"""The contract of a segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autolabel.strategies import Segmenter
from autolabel.testing.instances import check_instance_masks, check_instances, difference
from autolabel.testing.labeler import check_counters, check_labeler, check_pixels, loaded, sample_batches
from autolabel.testing.samples import example_samples
from autolabel.testing.subject import Subject
from autolabel.types import Instances, Sample

_TOLERANCE = 0.01


def check_segmenter(
    strategy: type[Segmenter],
    params: Mapping[str, Any],
    *,
    samples: Sequence[Sample] = example_samples(),
    device: str = "cpu",
    tolerance: float = _TOLERANCE,
) -> None:
    """Check a segmenter on ``samples`` with boxes.

    Masks computed alone may differ from those in a batch in ``tolerance`` of their pixels.
    """
    subject = Subject(strategy, params)
    check_labeler(subject, Segmenter, samples)
    before = [sample.pixels.tobytes() for sample in samples]
    segmenter = loaded(subject, device)
    answers = _ask(subject, segmenter, samples)
    for index, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        _check_answer(subject, sample, answer, f"the answer to sample {index}")
    again = _ask(subject, segmenter, samples)
    fresh = _ask(subject, loaded(subject, device), samples)
    alone = [_ask(subject, segmenter, [sample])[0] for sample in samples]
    for index, answer in enumerate(answers):
        for other, limit, case in (
            (again[index], 0.0, "the same sample again"),
            (fresh[index], 0.0, "a new instance"),
            (alone[index], tolerance, "a sample alone instead of in a batch"),
        ):
            said = difference(answer, other, limit)
            subject.require(not said, f"{case} must give the same answer to sample {index}: {said}")
    subject.require(list(segmenter.segment([])) == [], "`segment` of no samples must return nothing")
    check_counters(subject, segmenter.counters())
    check_pixels(subject, samples, before)


def _ask(subject: Subject[Segmenter], segmenter: Segmenter, samples: Sequence[Sample]) -> list[Instances]:
    """Return a segmenter's results in the order of the samples, run in batches of equal key."""
    answers: dict[int, Instances] = {}
    for batch in sample_batches(segmenter, samples):
        found = segmenter.segment([samples[index] for index in batch])
        subject.require(len(found) == len(batch), f"`segment` must return {len(batch)} answers, found {len(found)}")
        answers |= dict(zip(batch, found, strict=True))
    return [answers[index] for index in range(len(samples))]


def _check_answer(subject: Subject[Segmenter], sample: Sample, answer: Instances, where: str) -> None:
    """Check that every box is returned unchanged, with its mask."""
    check_instances(subject, answer, where, prompt=sample.prompt)
    subject.require(len(answer) == len(sample.instances), f"{where}: every box must come back")
    unmasked = replace(answer, masks=sample.instances.masks, scores=sample.instances.scores)
    said = difference(sample.instances, unmasked, 0)
    subject.require(not said, f"{where}: every box must come back as it was: {said}")
    if len(answer):
        check_instance_masks(subject, answer, where, size=sample.image.size)
