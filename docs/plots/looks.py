"""Draw recall over forward passes; ``python -m docs.plots.looks`` writes the picture from the last measurement."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.looks import PRECISIONS, Row, read, shown

PICTURE = Path(__file__).resolve().parents[1] / "img" / "annealing-passes.svg"
DRAWN = ("one look", "two looks, every round", "three looks, every round")
BY_ROUND = "three looks, by round"


def described() -> str:
    """Return the numbers behind the picture, which it carries along: a test compares them with the measurement."""
    return json.dumps([[row.data, row.way, row.passes, *row.recalls] for row in read()])


def panel(axes: Any, rows: Mapping[str, Row]) -> None:
    """Draw one set: a line for each precision, and the looks by round beside it."""
    for place in shown(list(rows.values())):
        line = [rows[way] for way in DRAWN]
        passes, recalls = [one.passes for one in line], [one.recalls[place] for one in line]
        [drawn] = axes.plot(passes, recalls, "o-", label=f"precision {PRECISIONS[place]:g}")
        one = rows[BY_ROUND]
        axes.plot([one.passes], [one.recalls[place]], "D", color=drawn.get_color(), mec="black")
    axes.plot([], [], "D", color="white", mec="black", label="looks by round")
    photos = rows[BY_ROUND].photos
    axes.set(title=f"{rows[BY_ROUND].data}, {photos} photos", xlabel="forward passes a photo", xlim=(0.9, 3.1))
    axes.set_ylim(bottom=0.75 * axes.get_ylim()[0])
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def draw(path: Path = PICTURE) -> None:
    """Write the picture; the same numbers and the same matplotlib give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "autolabel", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot

    sets: dict[str, dict[str, Row]] = {}
    for row in read():
        sets.setdefault(row.data, {})[row.way] = row
    figure, places = pyplot.subplots(1, len(sets), figsize=(3.4 * len(sets), 3.6), layout="constrained", squeeze=False)
    for axes, rows in zip(places[0], sets.values(), strict=True):
        panel(axes, rows)
    places[0][0].set_ylabel("recall")
    metadata = {"Date": None, "Creator": None, "Title": PICTURE.stem, "Description": described()}
    figure.savefig(path, metadata=metadata, facecolor="white")
    pyplot.close(figure)


if __name__ == "__main__":
    draw()
    sys.stdout.write(f"{PICTURE.name} is written\n")
