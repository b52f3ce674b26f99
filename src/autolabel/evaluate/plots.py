"""An evaluation as pictures: precision over recall, confusion between classes, coverage by round."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.errors import MachineError
from autolabel.evaluate.evaluation import Evaluation
from autolabel.evaluate.precision import Precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CURVES, _MOST_CONFUSED = 10, 20
_LONGEST_NAME = 28
_DPI = 144
_RIGHT, _WRONG, _LINE = "#12784c", "#c42b2b", "#2459d6"


def check_plots() -> None:
    """Raise MachineError if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        hint = "pip install 'autolabel-vision[plots]'"
        raise MachineError("plots need matplotlib, which is not installed", hint=hint)


def write_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write a PNG for every plot that has something to show into ``folder`` and return their paths.

    Raises MachineError if matplotlib is not installed. Equal evaluations and versions of it give equal bytes.
    """
    check_plots()
    folder.mkdir(parents=True, exist_ok=True)
    written = [_save(folder / "precision_recall_boxes.png", lambda axes: _curves(axes, evaluation, evaluation.boxes))]
    if (masks := evaluation.masks) is not None:
        written.append(_save(folder / "precision_recall_masks.png", lambda axes: _curves(axes, evaluation, masks)))
    if evaluation.frequent(1):
        written.append(_save(folder / "confusion.png", lambda axes: _confusion(axes, evaluation)))
    if evaluation.rounds:
        written.append(_save(folder / "rounds.png", lambda axes: _rounds(axes, evaluation)))
    return written


def _save(path: Path, draw: Callable[[Axes], None]) -> Path:
    """Draw on a new figure and write it; a letter that the font lacks becomes a box without a word."""
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=(7, 5), layout="constrained")
    draw(figure.add_subplot())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path


def _curves(axes: Axes, evaluation: Evaluation, measured: Precision) -> None:
    """Draw a precision-recall curve for each frequent class; a dot marks the run's thresholds."""
    kind = "masks" if measured is evaluation.masks else "boxes"
    shown = [number for number in evaluation.frequent(_MOST_CURVES) if measured.curves[number] is not None]
    for place, number in enumerate(shown):
        counts, curve = evaluation.classes[number], measured.curves[number] or ()
        colour = f"C{place}"
        reached = sum(value > 0 for value in curve)
        recalls = [step / (len(curve) - 1) for step in range(reached)]
        axes.plot(
            recalls,
            curve[:reached],
            color=colour,
            label=f"{_text(counts.name)}  {measured.ap50_by_class[number] or 0:.3f}",
        )
        if kind == "boxes" and counts.precision is not None and counts.recall is not None:
            axes.plot([counts.recall], [counts.precision], "o", color=colour)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), xlabel="recall", ylabel="precision")
    axes.set_title(f"Precision over recall of {kind}, IoU 0.5", loc="left", fontsize="medium")
    axes.grid(alpha=0.3)
    if shown:
        axes.legend(title="class, AP50", fontsize="small", loc="lower left")


def _confusion(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the confusion matrix, shaded by the share of each row."""
    shown = evaluation.frequent(_MOST_CONFUSED)
    counts = evaluation.matrix(shown)
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_text(evaluation.classes[number].name) for number in shown]
    ticks = range(len(counts))
    axes.set_xticks(ticks, [*names, "missed"], rotation=45, ha="right", fontsize=_small(ticks))
    axes.set_yticks(ticks, [*names, "nothing there"], fontsize=_small(ticks))
    axes.set(xlabel="found", ylabel="true")
    axes.set_title(f"Confusion, IoU {evaluation.iou:g}", loc="left", fontsize="medium")
    for row in ticks:
        for column in ticks:
            if counts[row][column]:
                ink = "white" if shares[row][column] > 0.5 else "black"
                axes.text(
                    column, row, f"{counts[row][column]}", ha="center", va="center", color=ink, fontsize=_small(ticks)
                )


def _rounds(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the right and wrong boxes of each round, and the recall after it."""
    names = ["given" if one.round < 0 else f"round {one.round}" for one in evaluation.rounds]
    right = [one.right for one in evaluation.rounds]
    axes.bar(names, right, color=_RIGHT, label="right", width=0.6)
    axes.bar(names, [one.wrong for one in evaluation.rounds], bottom=right, color=_WRONG, label="wrong", width=0.6)
    axes.set_ylabel("boxes")
    axes.set_title(f"What each round found, IoU {evaluation.iou:g}", loc="left", fontsize="medium")
    recall = axes.twinx()
    recall.plot(names, [one.recall or 0 for one in evaluation.rounds], "o-", color=_LINE, label="recall so far")
    recall.set(ylim=(0, 1.05), ylabel="recall so far")
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False)


def _small(ticks: Sequence[int]) -> float:
    """Return the text size that fits so many cells."""
    return max(5.0, min(10.0, 90 / len(ticks)))


def _text(name: str) -> str:
    """Return a name as matplotlib shall show it, literally: no formulas, and in the legend whatever it begins with."""
    line = " ".join(name.split())
    cut = line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"
    return (" " if cut.startswith("_") else "") + cut.replace("\\", "⧵").replace("$", r"\$")
