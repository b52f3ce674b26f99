"""What workers tell the numeric libraries."""

from __future__ import annotations

import os
import sys

import pytest

from autolabel.executors.tuning import THREAD_VARIABLES, limit_threads


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return an environment of its own, in a process that has no torch."""
    own: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", own)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return own


def test_libraries_get_the_threads_of_the_plan(environment: dict[str, str]) -> None:
    limit_threads(3)
    assert {name: environment[name] for name in THREAD_VARIABLES} == dict.fromkeys(THREAD_VARIABLES, "3")


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_wants_them_awake(
    environment: dict[str, str], before: str | None, after: str
) -> None:
    if before is not None:
        environment["OMP_WAIT_POLICY"] = before
    limit_threads(2)
    assert environment["OMP_WAIT_POLICY"] == after
