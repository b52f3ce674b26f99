"""Draw recall over forward passes; ``python -m docs.plots.looks`` writes the picture from the last measurement."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.looks import PRECISIONS, read

PICTURE = Path(__file__).resolve().parents[1] / "img" / "annealing-passes.svg"
DRAWN = ("one look", "two looks, every round", "three looks, every round")
BY_ROUND = "three looks, by round"
DATA = "bccd"


def described() -> str:
    """Return the numbers behind the picture, which it carries along: a test compares them with the measurement."""
    return json.dumps([[row.way, row.passes, *row.recalls] for row in read() if row.data == DATA])


def draw(path: Path = PICTURE) -> None:
    """Write the picture; the same numbers and the same matplotlib give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "autolabel", "svg.fonttype": "none", "font.size": 11})
    from matplotlib import pyplot

    rows = {row.way: row for row in read() if row.data == DATA}
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    for place, precision in enumerate(PRECISIONS):
        line = [rows[way] for way in DRAWN]
        passes, recalls = [one.passes for one in line], [one.recalls[place] for one in line]
        [drawn] = axes.plot(passes, recalls, "o-", label=f"precision {precision:g}, looks in every round")
        one = rows[BY_ROUND]
        label = "looks by round" if not place else None
        axes.plot([one.passes], [one.recalls[place]], "D", color=drawn.get_color(), mec="black", label=label)
    axes.set(xlabel="forward passes a photo", ylabel="recall", xlim=(0.9, 3.1))
    axes.legend(loc="lower right", fontsize=9)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    metadata = {"Date": None, "Creator": None, "Title": PICTURE.stem, "Description": described()}
    figure.savefig(path, metadata=metadata, facecolor="white")
    pyplot.close(figure)


if __name__ == "__main__":
    draw()
    sys.stdout.write(f"{PICTURE.name} is written\n")
