"""The thresholds of the built-in schedules, as they are compiled into a plan."""

from __future__ import annotations

from collections.abc import Mapping

from autolabel.registry import discover
from docs.generate.markdown import code, table

ROUNDS, START, END = 6, 0.5, 0.1
CURVES = ("step", "exponential", "cosine")


def levels() -> Mapping[str, list[float]]:
    """Return the thresholds of each curve."""
    registry = discover()
    found = {}
    for name in CURVES:
        strategy = registry.get("scheduler", name).strategy
        params = strategy.Params.model_validate({"rounds": ROUNDS, "start": START, "end": END})
        found[name] = [round.conf_threshold for round in strategy(params).rounds()]  # type: ignore[attr-defined]
    return found


def thresholds() -> str:
    """Return a table of them."""
    headings = ("schedule", *(f"round {index}" for index in range(ROUNDS)))
    return table(headings, ((code(name), *(f"{level:g}" for level in row)) for name, row in levels().items()))
