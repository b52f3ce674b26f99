"""What ``serve`` does before it answers."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.cli.serve import serve
from autolabel.errors import SpecError


def test_the_process_is_tuned_before_models_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """How threads wait and how memory is used again must be said before torch is imported."""
    done: list[str] = []

    def load(*values: Any, **words: Any) -> None:
        done.append("load")
        raise SpecError("enough")

    monkeypatch.setattr("autolabel.executors.tuning.tune_process", lambda threads: done.append("tune"))
    monkeypatch.setattr("autolabel.predict.open_predictor", load)
    with pytest.raises(SpecError, match="enough"):
        serve(["spec.yaml"])
    assert done == ["tune", "load"]
