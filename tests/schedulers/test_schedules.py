"""Schedules are literal, monotone, and exact at both ends."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autolabel.strategies import Scheduler
from autolabel.testing import check_scheduler
from autolabel.types import Round
from autolabel_schedulers import autolabel_schedulers
from autolabel_schedulers.cosine import Cosine
from autolabel_schedulers.curve import CurveScheduler
from autolabel_schedulers.exponential import Exponential
from autolabel_schedulers.fixed import Fixed
from autolabel_schedulers.step import Step

CURVES: list[Any] = [Step, Exponential, Cosine]
THRESHOLDS = st.floats(0, 1).map(lambda x: round(x, 8))


def levels(curve: type[CurveScheduler], **params: object) -> list[float]:
    return [r.conf_threshold for r in curve(curve.Params.model_validate(params)).rounds()]


@pytest.mark.parametrize("curve", CURVES)
@given(n=st.integers(1, 60), ends=st.tuples(THRESHOLDS, THRESHOLDS), nms=st.none() | THRESHOLDS)
def test_any_curve_is_exact_at_its_ends_and_never_rises(
    curve: type[CurveScheduler], n: int, ends: tuple[float, float], nms: float | None
) -> None:
    start, end = max(ends), max(min(ends), 1e-8)
    start = max(start, end)
    params = curve.Params(rounds=n, start=start, end=end, nms_threshold=nms)
    rounds = curve(params).rounds()
    found = [r.conf_threshold for r in rounds]
    assert [r.index for r in rounds] == list(range(n))
    assert {r.nms_threshold for r in rounds} == {nms}
    assert found[0] == start
    assert n == 1 or found[-1] == end
    assert all(before >= after for before, after in pairwise(found))
    assert all(level == round(level, 6) or level in (start, end) for level in found)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (Step, [0.5, 0.425, 0.35, 0.275, 0.2]),
        (Exponential, [0.5, 0.397635, 0.316228, 0.251487, 0.2]),
        (Cosine, [0.5, 0.456066, 0.35, 0.243934, 0.2]),
    ],
)
def test_values_follow_the_formula(curve: type[CurveScheduler], expected: list[float]) -> None:
    assert levels(curve, rounds=5, start=0.5, end=0.2) == expected


def test_the_three_curves_fall_in_their_own_ways() -> None:
    step, exponential, cosine = (levels(curve, rounds=9, start=0.8, end=0.1) for curve in CURVES)
    falls = [before - after for before, after in pairwise(step)]
    assert max(falls) - min(falls) < 2e-6
    factors = [after / before for before, after in pairwise(exponential)]
    assert max(factors) - min(factors) < 1e-4
    assert cosine[1] > step[1] > exponential[1]
    assert all(a + b == pytest.approx(0.9, abs=2e-6) for a, b in zip(cosine, reversed(cosine), strict=True))


@pytest.mark.parametrize("curve", CURVES)
def test_one_round_is_at_the_start(curve: type[CurveScheduler]) -> None:
    assert levels(curve, rounds=1, start=0.4, end=0.1) == [0.4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": 0.6}, "0.6 is above start, 0.5: a threshold may not rise from round to round"),
        ({"rounds": 0}, "greater than or equal to 1"),
        ({"start": 1.5}, "less than or equal to 1"),
        ({"start": float("nan")}, "finite number"),
        ({"nms_threshold": -0.1}, "greater than or equal to 0"),
        ({"stop": 1}, "Extra inputs are not permitted"),
    ],
)
@pytest.mark.parametrize("curve", CURVES)
def test_wrong_parameters_are_refused(curve: type[CurveScheduler], change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        curve.Params.model_validate({"rounds": 3, "start": 0.5, "end": 0.2} | change)


def test_an_exponential_cannot_reach_zero() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Exponential.Params(rounds=3, start=0.5, end=0)
    assert levels(Step, rounds=3, start=0.5, end=0) == [0.5, 0.25, 0.0]


def test_a_list_is_taken_as_written() -> None:
    rows = [{"conf_threshold": 0.5, "nms_threshold": 0.0}, {"conf_threshold": 0.5}, {"conf_threshold": 0.25}]
    rounds = Fixed(Fixed.Params.model_validate({"rounds": rows})).rounds()
    assert list(rounds) == [
        Round(index=0, conf_threshold=0.5, nms_threshold=0.0),
        Round(index=1, conf_threshold=0.5),
        Round(index=2, conf_threshold=0.25),
    ]


def test_a_list_that_rises_is_refused() -> None:
    rows = [{"conf_threshold": 0.5}, {"conf_threshold": 0.3}, {"conf_threshold": 0.4}]
    with pytest.raises(ValidationError, match=r"round 2 has conf_threshold 0.4, above the 0.3 of round 1"):
        Fixed.Params.model_validate({"rounds": rows})


@pytest.mark.parametrize(
    "rows", [[], [{"conf_threshold": 2}], [{"nms_threshold": 0.5}], [{"conf_threshold": 0.5, "x": 1}]]
)
def test_a_wrong_list_is_refused(rows: list[dict[str, float]]) -> None:
    with pytest.raises(ValidationError):
        Fixed.Params.model_validate({"rounds": rows})


def test_all_four_are_offered() -> None:
    assert sorted(strategy.name for strategy in autolabel_schedulers()) == ["cosine", "exponential", "fixed", "step"]


@pytest.mark.parametrize("scheduler", autolabel_schedulers(), ids=lambda scheduler: scheduler.name)
def test_each_keeps_the_contract(scheduler: type[Scheduler]) -> None:
    curve = {"rounds": 6, "start": 0.6, "end": 0.1, "nms_threshold": 0.5}
    check_scheduler(scheduler, {"rounds": [{"conf_threshold": 0.5}]} if scheduler is Fixed else curve)
