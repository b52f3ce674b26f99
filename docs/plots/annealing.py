"""Draw what the rounds bring; ``python -m docs.plots.annealing`` writes the pictures from the last measurement."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.annealing import Point, of, read

FOLDER = Path(__file__).resolve().parents[1] / "img"
LABELLED = (0.5, 0.4, 0.3, 0.2, 0.1)
"""Last thresholds that are written beside their points."""


def described() -> str:
    """Return the numbers behind the pictures, which they carry along: a test compares them with the measurement."""
    return json.dumps([[one.rule, one.aggregator, one.end, one.found, one.right] for one in read()[1]])


def curves(axes: Any, points: list[Point]) -> None:
    """Draw precision over recall, a point for each last threshold."""
    for rule, aggregator, style, label in (
        ("once", "nms", "o-", "one round, the same as ask: all (nms)"),
        ("once", "dbscan", "s:", "one round, the same as ask: all (dbscan)"),
        ("missing", "nms", "D-", "ask: missing (nms)"),
    ):
        chosen = of(points, rule, aggregator)  # type: ignore[arg-type]
        chosen = [one for one in chosen if one.found]
        axes.plot([one.recall for one in chosen], [one.precision for one in chosen], style, markersize=4, label=label)
        for one in chosen if aggregator == "nms" else ():
            if one.end in LABELLED and (rule == "once" or one.end == min(LABELLED)):
                axes.annotate(f"{one.end:g}", (one.recall, one.precision), (4, 4), textcoords="offset points")
    start = of(points, "missing", "nms")[0]
    axes.plot([start.recall], [start.precision], "k*", markersize=13, label="one round at 0.5")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0.4, 1.02))
    axes.legend(loc="lower left")


def rounds(axes: Any, points: list[Point]) -> None:
    """Draw right and wrong boxes of each round of ask: all."""
    found = of(points, "all", "nms")[-1].rounds
    places = range(len(found))
    right, wrong = ([row[column] for row in found] for column in (1, 2))
    axes.bar(places, right, label="right")
    axes.bar(places, wrong, bottom=right, label="wrong", color="tab:red")
    axes.set_xticks(places, [f"{level:g}" for level, *_ in found], rotation=60)
    axes.set(xlabel="threshold of the round in which a box entered", ylabel="boxes")
    axes.legend()


PICTURES: dict[str, Callable[[Any, list[Point]], None]] = {"annealing-curves": curves, "annealing-rounds": rounds}


def draw(name: str, path: Path) -> None:
    """Write a picture; the same numbers and the same matplotlib give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "autolabel", "svg.fonttype": "none", "font.size": 11})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    PICTURES[name](axes, read()[1])
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    metadata = {"Date": None, "Creator": None, "Title": name, "Description": described()}
    figure.savefig(path, metadata=metadata, facecolor="white")
    pyplot.close(figure)


if __name__ == "__main__":
    for name in PICTURES:
        draw(name, FOLDER / f"{name}.svg")
        sys.stdout.write(f"{name}.svg is written\n")
