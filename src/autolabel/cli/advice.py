"""Print the answer of ``autolabel plan --advise``."""

from __future__ import annotations

from collections.abc import Iterator

from autolabel.cli import console
from autolabel.run.advise import Advice, Measured

_MOST = 12
"""The most settings in the table, the best of each price first."""


def print_advice(advice: Advice, *, json: bool) -> None:
    """Print how good each setting is, and the spec lines of the recommended one."""
    if json:
        console.print_json(advice)
        return
    wanted = f"precision {advice.precision:g}, IoU {advice.iou:g}"
    console.out.say(f"{advice.images} checked images, {advice.true} true objects; {wanted}")
    columns = (
        "looks",
        "spend",
        "score",
        "aggregator",
        "passes",
        "threshold",
        "recall",
        "95 of 100",
        "below the best by",
    )
    made = console.number_table(*columns, numbers=("passes", "threshold", "recall"))
    for one in _shown(advice):
        mark = " <- take" if advice.chosen is not None and one is advice.ways[advice.chosen] else ""
        made.add_row(*_cells(one), f"{one.worse[0]:+.3f} to {one.worse[1]:+.3f}{mark}")
    console.show(made)
    console.notices(advice.notes)
    if advice.chosen is None:
        console.out.say(f"no setting reaches a precision of {advice.precision:g} on these images")
        return
    console.out.say("in a spec:")
    for line in _lines(advice, advice.ways[advice.chosen]):
        console.out.say(f"  {line}")


def _shown(advice: Advice) -> Iterator[Measured]:
    """Yield the settings to list: the best of each set of looks and way to spend them, and the chosen one."""
    best: dict[tuple[object, ...], Measured] = {}
    for one in advice.ways:
        key = (one.way.looks, one.way.spend)
        if key not in best or one.recall > best[key].recall:
            best[key] = one
    chosen = None if advice.chosen is None else advice.ways[advice.chosen]
    yield from [one for one in advice.ways if one is chosen or one in best.values()][:_MOST]


def _cells(one: Measured) -> Iterator[str]:
    """Yield the cells of one setting."""
    way = one.way
    yield ", ".join(way.looks) or "as it is"
    several = len(way.looks) > 1
    yield way.spend if several else "-"
    yield way.score if several else "-"
    yield f"{way.aggregator} {next(iter(way.params.values())):g}"
    yield f"{one.passes:.2f}"
    yield "none" if one.threshold is None else f"{one.threshold:.3f}"
    yield f"{one.recall:.3f}"
    yield f"{one.low:.3f} to {one.high:.3f}"


def _lines(advice: Advice, one: Measured) -> Iterator[str]:
    """Yield the spec lines of a setting: all candidates are merged, and boxes above the thresholds are exported."""
    way = one.way
    params = ", ".join(f"{name}: {value:g}" for name, value in way.params.items())
    rounds = len(way.looks) if way.spend == "by_round" else 1
    start = advice.start if rounds > 1 else advice.floor
    yield "stages:"
    yield "  - labeler: ..."
    if len(way.looks) > 1:
        yield f"    looks: {{which: [{', '.join(way.looks)}], spend: {way.spend}, score: {way.score}}}"
    yield f"    scheduler: {{type: step, rounds: {rounds}, start: {start:g}, end: {advice.floor:g}}}"
    yield f"    aggregator: {{type: {way.aggregator}, {params}}}"
    yield "    ask: all"
    each = ", ".join(f"{console.printable(name)}: {one.threshold or 0:.3f}" for name in advice.classes)
    yield f"output: {{thresholds: {{{each}}}}}"
