"""The loop that deals tasks to workers, with workers that are only pretended."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.errors import DataError, WorkerError
from autolabel.executors.driver import ATTEMPTS, Worker, drive
from autolabel.executors.executor import Crash
from autolabel.executors.messages import Death, Event, Message, Ready, Result, TaskError

Answer = Callable[[Any], Message]


class Pretended:
    """Workers that answer when a draw says so: ``answer`` decides what a task comes to."""

    def __init__(self, places: int, answer: Answer, *, seed: int = 0, start: Callable[[], Message] = Ready) -> None:
        self.places, self.answer, self.starter = places, answer, start
        self.draw = random.Random(seed)
        self.given: list[Any] = []
        self.hired = 0
        self.stopped: list[Worker] | None = None

    def start(self, there: Sequence[Worker], wanted: int) -> Sequence[Worker]:
        made = [Worker("here") for _ in range(min(wanted, self.places - len(there)))]
        self.hired += len(made)
        return made

    def send(self, worker: Worker, task: Any) -> None:
        assert worker.ready
        self.given.append(task)

    def poll(self, workers: Sequence[Worker]) -> Sequence[tuple[Worker, Message]]:
        saying = [worker for worker in workers if worker.busy or not worker.ready]
        assert saying, "nobody has anything to say: the loop would wait for ever"
        worker = self.draw.choice(saying)
        return [(worker, self.answer(worker.task) if worker.ready else self.starter())]

    def stop(self, workers: Sequence[Worker]) -> None:
        self.stopped = list(workers)


def nothing(content: Any) -> None:
    """Take no notice."""


def squared(task: int) -> Message:
    return Result(task * task)


@given(st.integers(0, 30), st.integers(1, 6), st.integers(0, 1000))
def test_every_task_is_done_once_in_whatever_order(tasks: int, places: int, seed: int) -> None:
    pool = Pretended(places, squared, seed=seed)
    results = list(drive(pool, range(tasks), emit=nothing))
    assert sorted(results) == [(task, task * task) for task in range(tasks)]
    assert sorted(pool.given) == list(range(tasks))
    assert pool.hired <= min(places, tasks)
    assert pool.stopped is not None


def test_results_come_in_order_of_completion() -> None:
    orders = {tuple(task for task, _ in drive(Pretended(4, squared, seed=s), range(6), emit=nothing)) for s in range(9)}
    assert len(orders) > 3


@given(st.sets(st.integers(0, 11), max_size=4), st.integers(1, 4), st.integers(0, 1000))
def test_what_kills_its_workers_is_given_up_and_nothing_else_is_lost(poison: set[int], places: int, seed: int) -> None:
    pool = Pretended(places, lambda task: Death("gone") if task in poison else squared(task), seed=seed)
    results = dict(drive(pool, range(12), emit=nothing))
    assert results == {task: Crash("gone") if task in poison else task * task for task in range(12)}
    assert all(pool.given.count(task) == (ATTEMPTS if task in poison else 1) for task in range(12))


@given(st.integers(0, 1000))
def test_workers_that_die_now_and_then_cost_no_task(seed: int) -> None:
    draw, killed = random.Random(seed), []

    def answer(task: int) -> Message:
        if killed.count(task) < ATTEMPTS - 1 and draw.random() < 0.4:
            killed.append(task)
            return Death("gone")
        return squared(task)

    assert dict(drive(Pretended(3, answer, seed=seed), range(9), emit=nothing)) == {n: n * n for n in range(9)}


def test_a_task_whose_worker_died_comes_before_all_others() -> None:
    deaths: Iterator[Message] = iter([Death("gone")])
    pool = Pretended(1, lambda task: next(deaths, squared(task)))
    assert [task for task, _ in drive(pool, range(3), emit=nothing)] == [0, 1, 2]
    assert pool.given == [0, 0, 1, 2]


def test_workers_that_die_at_the_start_end_the_run_instead_of_failing_all_images() -> None:
    pool = Pretended(2, squared, start=lambda: Death("worker on here died (exit code -9)"))
    with pytest.raises(WorkerError, match=r"died while they started.*exit code -9.*\n.*fewer workers"):
        list(drive(pool, range(50), emit=nothing))
    assert pool.given == []
    assert pool.hired <= 2 * ATTEMPTS


def test_a_start_that_fails_now_and_then_is_tried_again() -> None:
    draw = random.Random(1)
    pool = Pretended(4, squared, start=lambda: Ready() if draw.random() < 0.6 else Death("gone"))
    assert len(list(drive(pool, range(20), emit=nothing))) == 20


def test_an_error_ends_the_run_and_stops_the_workers() -> None:
    pool = Pretended(2, lambda task: TaskError(DataError("wrong")) if task == 3 else squared(task))
    with pytest.raises(DataError, match="wrong"):
        list(drive(pool, range(9), emit=nothing))
    assert pool.stopped


def test_closing_stops_the_workers() -> None:
    pool = Pretended(2, squared)
    results = drive(pool, range(9), emit=nothing)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert pool.stopped


def test_what_workers_report_is_passed_on() -> None:
    messages: list[Message] = [Event(("a", "b")), Event(("c",)), Result(1)]
    pool, heard = Pretended(1, lambda task: messages.pop(0)), []
    assert list(drive(pool, ["task"], emit=heard.append)) == [("task", 1)]
    assert heard == ["a", "b", "c"]
