"""What progress tells: rates of all workers together, time left, failures."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from autolabel.cli import progress
from autolabel.cli.progress import Lines
from autolabel.run.worker import Done
from autolabel.types.labels import State


class Clock:
    """A clock that a test turns."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_lines_tell_rate_time_left_and_failures_once_there_is_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "time", clock)
    lines = Lines(Console(file=screen, width=200))
    plan: Any = SimpleNamespace(execution=SimpleNamespace(places="2 x cpu"))
    stage: Any = SimpleNamespace(name="0-colors")
    lines.stage_started(plan, stage, rows=100, left=40)
    states: list[tuple[int, State]] = [(50, "labelled"), (10, "failed"), (30, "labelled")]
    for seconds, state in states:
        clock.now += seconds
        lines.row(Done(0, 0, state, boxes=int(state == "labelled")))
    assert [line.strip() for line in screen.getvalue().splitlines()] == [
        "0-colors: 40 of 100 rows to label on 2 x cpu",
        "0-colors: 61 of 100 rows, 1 boxes",
        "0-colors: 63 of 100 rows, 2 boxes, 1 failed, 0.05 a second, about 740 s left",
    ]
