"""How many steps fit a time, and what is evaluated before the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import DataError
from autolabel.strategies import FineTuning
from autolabel_training import timed
from autolabel_training.loop import STATE_FILE, DevCheck
from autolabel_training.settings import CourseSettings


class Clock:
    """Time that passes only where it is spent."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow:
    """A model of no weights: a check takes 2 s, a batch 3 s, a step 1 s."""

    settings: Any = None

    def __init__(self, clock: Clock) -> None:
        self.clock, self.checks = clock, 0

    def judged(self, weights: Any) -> list[dict[str, Any]]:
        self.clock.now += 2
        self.checks += 1
        return [{"a": 0.5}]

    def check(self, judged: list[dict[str, Any]]) -> DevCheck | None:
        return DevCheck(judged[0]["a"], {})

    def check_dev(self) -> DevCheck | None:
        return self.check(self.judged({}))

    def batches(self, steps: range) -> Iterator[int]:
        for step in steps:
            self.clock.now += 3
            yield step

    def learn(self, batch: int, step: int) -> dict[str, float]:
        self.clock.now += 1
        return {}

    def averaged(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        assert state == {}

    def compare(self, before: Any, after: Any) -> dict[str, Any]:
        return {}

    def export(self, weights: dict[str, Any], folder: Path) -> None:
        folder.mkdir(exist_ok=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timed, "time", clock)
    return clock


def task(out: Path, **settings: Any) -> FineTuning[CourseSettings]:
    return FineTuning(
        train=[],
        dev=[],
        classes=(),
        settings=CourseSettings.model_validate(settings),
        out=out,
        device="cpu",
        told=lambda record: None,
    )


def test_the_pace_counts_the_drawing_of_views(clock: Clock, tmp_path: Path) -> None:
    timed.train_in_time(Slow(clock), task(tmp_path, minutes=10, checks=3))
    steps = json.loads((tmp_path / "course.json").read_text())["steps"]
    assert steps == (600 - 2 - 3 * 4 - 4 * 2) // 4, "without the first check, three steps, and four more checks"


def test_the_initial_weights_are_evaluated_once(clock: Clock, tmp_path: Path) -> None:
    model = Slow(clock)
    timed.train_in_time(model, task(tmp_path, steps=4, checks=2))
    assert model.checks == 1 + 2 + 1, "those before, two during the training, and those that are saved"
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["event"] == "dev"] == [0, 2, 4]


@pytest.mark.parametrize("name", ["course.json", "before.json", STATE_FILE])
@pytest.mark.parametrize("content", [b"", b"not what it was"])
def test_a_damaged_file_is_told_with_what_to_do(clock: Clock, tmp_path: Path, name: str, content: bytes) -> None:
    timed.train_in_time(Slow(clock), task(tmp_path, steps=1))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: is damaged") as found:
        timed.train_in_time(Slow(clock), task(tmp_path, steps=1))
    assert str(tmp_path) in found.value.hint
