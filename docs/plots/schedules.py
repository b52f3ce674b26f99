"""Draw the thresholds of the built-in schedules by round; ``python -m docs.plots.schedules`` writes the picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.generate.schedules import levels

TARGET = Path(__file__).resolve().parents[1] / "img" / "schedules.svg"


def described() -> str:
    """Return the numbers behind the picture, which it carries along: a test compares them with the code."""
    return json.dumps(levels())


def draw(path: Path) -> None:
    """Write the picture; the same numbers and the same matplotlib give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "autolabel", "svg.fonttype": "none", "font.size": 11})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for (name, row), marker in zip(levels().items(), "osD", strict=True):
        axes.plot(range(len(row)), row, marker=marker, markersize=5, label=name)
    axes.set(xlabel="round", ylabel="conf_threshold", ylim=(0, 0.55))
    axes.grid(alpha=0.3)
    axes.legend()
    metadata = {"Date": None, "Creator": None, "Title": "Thresholds by round", "Description": described()}
    figure.savefig(path, metadata=metadata, facecolor="white")
    pyplot.close(figure)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    draw(TARGET)
    sys.stdout.write(f"{TARGET.name} is written\n")
