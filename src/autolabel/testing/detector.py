"""The contract of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autolabel.errors import ImageError
from autolabel.strategies import Detector
from autolabel.testing.instances import check_instance_masks, check_instances, check_order, difference
from autolabel.testing.labeler import check_counters, check_labeler, check_pixels, loaded, sample_batches
from autolabel.testing.samples import example_samples
from autolabel.testing.subject import Subject
from autolabel.types import Instances, Prompt, Sample

_TOLERANCE = 1e-4


def check_detector(
    strategy: type[Detector],
    params: Mapping[str, Any],
    *,
    samples: Sequence[Sample] = example_samples(),
    device: str = "cpu",
    floor: float = 0.1,
    tolerance: float = _TOLERANCE,
) -> None:
    """Check a detector on ``samples``, each asked its own prompt.

    Results in a batch, alone, and after other prompts may differ by ``tolerance`` in score and 100 times that in
    pixels. Pass samples in which it finds boxes above ``floor``, because empty results prove little.
    """
    subject = Subject(strategy, params)
    check_labeler(subject, Detector, samples)
    before = [sample.pixels.tobytes() for sample in samples]
    detector = loaded(subject, device)
    prompts = [sample.prompt for sample in samples]
    passes = [detector.passes(prompt) for prompt in prompts]
    subject.require(all(isinstance(n, int) and n > 0 for n in passes), f"`passes` must be at least 1, found {passes}")
    gives: str = detector.gives
    answers = _ask(subject, detector, samples, prompts, floor)
    for index, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        where = f"the answer to sample {index}"
        check_instances(subject, answer, where, prompt=sample.prompt)
        check_order(subject, answer, where)
        subject.require((answer.scores > floor).all(), f"{where}: scores must be above the floor {floor}")
        if gives == "masks":
            check_instance_masks(subject, answer, where, size=sample.image.size)
        else:
            subject.require(answer.masks is None, f"{where}: masks, but `gives` says boxes")
    _same(subject, answers, _ask(subject, detector, samples, prompts, floor), 0, "the same question asked again")
    _same(subject, answers, _ask(subject, loaded(subject, device), samples, prompts, floor), 0, "a new instance")
    _check_early(subject, answers, samples, device=device, floor=floor)
    alone = [_ask(subject, detector, [sample], [sample.prompt], floor)[0] for sample in samples]
    _same(subject, answers, alone, tolerance, "a sample alone instead of in a batch")
    _check_reuse(subject, detector, samples, answers, floor=floor, tolerance=tolerance)
    _check_floor(subject, answers, _ask(subject, detector, samples, prompts, 0.5), tolerance)
    subject.require(list(detector.prepare([])) == [], "`prepare` of no samples must return nothing")
    subject.require(list(detector.detect([], [], floor)) == [], "`detect` of no items must return nothing")
    check_counters(subject, detector.counters())
    check_pixels(subject, samples, before)


def _ask(
    subject: Subject[Detector], detector: Detector, samples: Sequence[Sample], prompts: Sequence[Prompt], floor: float
) -> list[Instances]:
    """Return a detector's results in the order of the samples, run in batches of equal key."""
    answers: dict[int, Instances] = {}
    for batch in sample_batches(detector, samples):
        items = detector.prepare([detector.preprocess(samples[index]) for index in batch])
        subject.require(len(items) == len(batch), f"`prepare` must return {len(batch)} items, found {len(items)}")
        found = detector.detect(items, [prompts[index] for index in batch], floor)
        subject.require(len(found) == len(batch), f"`detect` must return {len(batch)} answers, found {len(found)}")
        answers |= dict(zip(batch, (_told(subject, one) for one in found), strict=True))
    return [answers[index] for index in range(len(samples))]


def _told(subject: Subject[Detector], answer: Instances | ImageError) -> Instances:
    """Return a result; raises if it is an error."""
    subject.require(isinstance(answer, Instances), f"`detect` gave an error in place of an answer: {answer}")
    assert isinstance(answer, Instances)
    return answer


def _same(
    subject: Subject[Detector], first: Sequence[Instances], second: Sequence[Instances], tolerance: float, case: str
) -> None:
    """Require equal results within ``tolerance``."""
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        said = difference(a, b, tolerance)
        subject.require(not said, f"{case} must give the same answer to sample {index}: {said}")


def _check_reuse(
    subject: Subject[Detector],
    detector: Detector,
    samples: Sequence[Sample],
    answers: Sequence[Instances],
    *,
    floor: float,
    tolerance: float,
) -> None:
    """Check that an item gives equal results after other prompts, in any order of items."""
    for batch in sample_batches(detector, samples):
        items = list(detector.prepare([detector.preprocess(samples[index]) for index in batch]))[::-1]
        prompts = [samples[index].prompt for index in batch][::-1]
        fewer = [Prompt(prompt.phrases[-1:]) for prompt in prompts]
        detector.detect(items, fewer, floor)
        again = [_told(subject, one) for one in detector.detect(items, prompts, floor)][::-1]
        expected = [answers[index] for index in batch]
        _same(subject, expected, again, tolerance, "an item that was asked another prompt before")


def _check_early(
    subject: Subject[Detector], answers: Sequence[Instances], samples: Sequence[Sample], *, device: str, floor: float
) -> None:
    """Check that ``preprocess`` needs no loaded model: it gives equal items before ``load`` and after."""
    detector = subject.make()
    early = [detector.preprocess(sample) for sample in samples]
    detector.load(device)
    for batch in sample_batches(detector, samples):
        items = detector.prepare([early[index] for index in batch])
        found = detector.detect(items, [samples[index].prompt for index in batch], floor)
        expected = [answers[index] for index in batch]
        _same(subject, expected, [_told(subject, one) for one in found], 0, "preprocessing before `load`")


def _check_floor(
    subject: Subject[Detector], low: Sequence[Instances], high: Sequence[Instances], tolerance: float
) -> None:
    """Check that a higher floor only removes candidates."""
    for index, (all_of_them, some) in enumerate(zip(low, high, strict=True)):
        expected = all_of_them.take(all_of_them.scores > 0.5)
        said = difference(expected, some, tolerance)
        subject.require(not said, f"the floor may only filter, but sample {index} differs at a floor of 0.5: {said}")
