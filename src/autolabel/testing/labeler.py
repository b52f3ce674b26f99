"""Checks that detectors and segmenters share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from autolabel.strategies import Labeler
from autolabel.testing.subject import Subject
from autolabel.types import Sample

_L = TypeVar("_L", bound=Labeler)


def loaded(subject: Subject[_L], device: str) -> _L:
    """Return a new labeler with its weights on ``device``."""
    labeler = subject.make()
    labeler.load(device)
    return labeler


def check_labeler(subject: Subject[_L], kind: type[Any], samples: Sequence[Sample]) -> None:
    """Check a labeler's methods before it is loaded."""
    subject.check(kind)
    labeler = subject.make()
    for name, allowed in {"needs": ("prompts", "boxes", "images"), "gives": ("boxes", "masks", "captions")}.items():
        found = getattr(labeler, name)
        subject.require(found in allowed, f"`{name}` must be one of {', '.join(allowed)}, found {found!r}")
    for sample in samples:
        key = labeler.batch_key(sample.image.size)
        whole = isinstance(key, tuple) and all(isinstance(part, int) for part in key)
        subject.require(whole, f"`batch_key` must return a tuple of integers, found {key!r}")
        subject.require(key == subject.make().batch_key(sample.image.size), "`batch_key` must depend on the size alone")
    files = labeler.files()
    existing = all(isinstance(file, Path) and file.is_file() for file in files)
    subject.require(existing, f"`files` must return paths of files that exist, found {files!r}")


def sample_batches(labeler: Labeler, samples: Sequence[Sample]) -> Iterator[list[int]]:
    """Yield the positions of samples that may share a batch."""
    keys = [labeler.batch_key(sample.image.size) for sample in samples]
    for key in sorted(set(keys)):
        yield [index for index, each in enumerate(keys) if each == key]


def check_counters(subject: Subject[_L], counters: dict[str, int]) -> None:
    """Check that counts of work are integers by name."""
    plain = all(isinstance(name, str) and isinstance(count, int) for name, count in counters.items())
    subject.require(plain, f"`counters` must map names to integers, found {counters!r}")


def check_pixels(subject: Subject[_L], samples: Sequence[Sample], before: Sequence[bytes]) -> None:
    """Check that the labeler did not change the pixels."""
    same = all(sample.pixels.tobytes() == copy for sample, copy in zip(samples, before, strict=True))
    subject.require(same, "the pixels that were passed in may not be changed")


def check_answers(
    subject: Subject[_L],
    samples: Sequence[Sample],
    *,
    kind: type[Any],
    gives: str,
    method: str,
    device: str,
    check: Callable[[str, Sample, Any, Any], None],
    noun: str = "answers",
) -> None:
    """Check a labeler whose ``method`` returns one answer for each sample.

    ``check`` is given the name of a sample, the sample, its answer, and the one that it gets alone. Messages call the
    answers ``noun``.
    """
    check_labeler(subject, kind, samples)
    subject.require(subject.strategy.gives == gives, f"`gives` must be {gives}")
    before = [sample.pixels.tobytes() for sample in samples]
    labeler: Any = loaded(subject, device)
    ask = getattr(labeler, method)
    answers = list(ask(samples))
    wanted = f"`{method}` must return {len(samples)} {noun}, found {len(answers)}"
    subject.require(len(answers) == len(samples), wanted)
    for index, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        [alone] = ask([sample])
        check(f"sample {index}", sample, answer, alone)
    subject.require(list(ask([])) == [], f"`{method}` of no samples must return nothing")
    check_counters(subject, labeler.counters())
    check_pixels(subject, samples, before)
