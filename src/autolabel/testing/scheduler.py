"""The contract of a scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from autolabel.strategies import Scheduler
from autolabel.testing.subject import Subject
from autolabel.types import Round


def check_scheduler(strategy: type[Scheduler], params: Mapping[str, Any]) -> None:
    """Check a scheduler: rounds counted from 0, thresholds in [0, 1] that do not rise, the same at every call."""
    subject = Subject(strategy, params)
    subject.check(Scheduler)
    rounds = subject.make().rounds()
    subject.require(isinstance(rounds, Sequence), f"`rounds` must return a sequence, found {type(rounds).__name__}")
    subject.require(len(rounds) > 0, "`rounds` must return at least one round")
    subject.require(all(isinstance(each, Round) for each in rounds), f"`rounds` must return Rounds, found {rounds!r}")
    indices = [each.index for each in rounds]
    subject.require(indices == list(range(len(rounds))), f"rounds must be indexed from 0, in order, found {indices}")
    levels = [each.conf_threshold for each in rounds]
    subject.require(all(0 <= level <= 1 for level in levels), f"conf_threshold must lie in [0, 1], found {levels}")
    subject.require(all(a >= b for a, b in pairwise(levels)), f"conf_threshold may not rise, found {levels}")
    limits = [each.nms_threshold for each in rounds]
    bounded = all(limit is None or 0 <= limit <= 1 for limit in limits)
    subject.require(bounded, f"nms_threshold must be None or lie in [0, 1], found {limits}")
    plain = all(type(value) in (float, int, type(None)) for value in levels + limits)
    subject.require(plain, "thresholds must be plain floats, so that a plan can be written as JSON")
    subject.require(list(rounds) == list(subject.make().rounds()), "`rounds` must return the same at every call")
