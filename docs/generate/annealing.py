"""What the rounds brought in the last measurement."""

from __future__ import annotations

from benchmarks.annealing import AGGREGATORS, ends_table, equal_table, read, rounds_table, same_as_once


def measured() -> str:
    """Return what was measured, in a sentence."""
    photos, points = read()
    same = all(same_as_once(points, aggregator) for aggregator in AGGREGATORS)
    equal = "found the same number of boxes, and of right ones, as" if same else "did not find the same as"
    return (
        f"{photos} photos with {points[0].true:,} true boxes. At every last threshold `ask: all` {equal} "
        "one round at that threshold."
    )


def ends() -> str:
    """Return what each rule found where its rounds ended."""
    return ends_table(read()[1])


def equal() -> str:
    """Return recall at equal precision."""
    return equal_table(read()[1])


def rounds() -> str:
    """Return which round the boxes needed."""
    return rounds_table(read()[1])
