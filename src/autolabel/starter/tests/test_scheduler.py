"""The scheduler keeps autolabel's contract."""

from __future__ import annotations

from autolabel.testing import check_scheduler

from autolabel_starter.scheduler import StarterScheduler


def test_it_keeps_the_contract() -> None:
    check_scheduler(StarterScheduler, {"start": 0.8})


def test_the_threshold_falls() -> None:
    rounds = StarterScheduler(StarterScheduler.Params(start=0.8, share=0.25)).rounds()
    assert [round.conf_threshold for round in rounds] == [0.8, 0.2]
