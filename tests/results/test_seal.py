"""Seals hold on plans that another version of autolabel has written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.plan import plan_file
from autolabel.results import seal
from autolabel.results.store import finished

EARLIER = Path(__file__).parent / "earlier_run"
"""Written by an autolabel whose plans lacked ``sends_to``, ``requests``, ``follow_symlinks`` and more."""
KEY = bytes.fromhex("48b4bca5a9f81194c71c6db7cbafa00a8525c83cf2083028ef5cb9d6433b78a1")
"""Of the user who ran it."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of an earlier version, of this user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state" / "autolabel").mkdir(parents=True)
    (tmp_path / "state" / "autolabel" / "key").write_bytes(KEY)
    return Path(shutil.copytree(EARLIER, tmp_path / "run"))


def test_a_plan_of_an_earlier_version_is_still_its_users(run: Path) -> None:
    assert "follow_symlinks" not in json.loads((run / "plan.json").read_bytes())["manifest"]
    _, plan = finished(run)
    assert plan.manifest.roots == {"": "/srv/autolabel/photos"}


def test_a_plan_of_a_later_version_is_still_its_users(run: Path) -> None:
    rewrite(run, lambda plan: plan["recipe"].update(later=0))
    plan = plan_file.read_plan(run / "plan.json")
    assert not seal.is_named_here(run, plan)
    (run / seal.SEAL).write_text(seal._of(plan.sha256.encode()))
    assert finished(run)[1].manifest.roots == {"": "/srv/autolabel/photos"}


@pytest.mark.parametrize("field", ["follow_symlinks", "unknown"])
def test_a_field_that_a_stranger_adds_breaks_the_seal(run: Path, field: str, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(run, lambda plan: plan["manifest"].update({field: False}))
    assert finished(run)[1].manifest.roots == {}
    assert "its images are not read" in caplog.text


def test_what_is_written_again_is_sealed_as_it_is_read(run: Path) -> None:
    store, plan = finished(run)
    store.publish_plan(plan)
    assert "follow_symlinks" in json.loads((run / "plan.json").read_bytes())["manifest"]
    assert finished(run)[1].manifest == plan.manifest


def rewrite(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a plan, with a sum that is right."""
    plan = json.loads((run / "plan.json").read_bytes())
    change(plan)
    (run / "plan.json").write_text(json.dumps(plan | {"sha256": plan_file.sum_of(plan)}))
