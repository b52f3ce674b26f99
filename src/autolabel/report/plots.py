"""The plots of an evaluation, for the report and as SVG files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.report import chart
from autolabel.report.markup import Html, element, shorten
from autolabel.report.overview import round_name
from autolabel.report.style import plot_style

if TYPE_CHECKING:
    from autolabel.evaluate import Evaluation
    from autolabel.evaluate.precision import Precision

_MOST_CURVES = chart.HUES
_MOST_CONFUSED = 12
_LONGEST_NAME = 16
_MARGIN, _HEAD, _LEAST_WIDTH = 16, 52, 420
"""Pixels around a plot in a file, those for its title, and the least width of the two."""
_HEAD_STYLE = ".title { font-size: 15px; font-weight: 600 } .under { font-size: 11.5px; fill: #5d6675 }"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', sans-serif"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_Colours = Mapping[str | None, str]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot; ``name`` is the name of its file, without the ending."""

    name: str
    title: str
    description: str
    svg: Html


def write_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write the report's plots of an evaluation into ``folder`` as SVG files; return their paths.

    Equal evaluations give equal bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for plot in evaluation_plots(evaluation, _hues(evaluation)):
        written.append(folder / f"{plot.name}.svg")
        written[-1].write_text(_stand_alone(plot), encoding="utf-8")
    return written


def evaluation_plots(evaluation: Evaluation, colours: _Colours) -> list[Plot]:
    """Return the plots that have something to show; ``colours`` are the hues of classes, others are given by rank."""
    kinds = [("boxes", evaluation.boxes), ("masks", evaluation.masks)]
    legend = "By class, with its AP at IoU 0.5. A dot is the run at its thresholds."
    plots = [
        Plot(f"precision_recall_{kind}", f"Precision over recall, {kind}", legend, svg)
        for kind, measured in kinds
        if measured is not None and (svg := _curves(evaluation, measured, kind=kind, colours=colours))
    ]
    at = f"at IoU {evaluation.iou:g}."
    if evaluation.rounds:
        plots.append(Plot("rounds", "What each round found", f"Right and wrong boxes, {at}", _rounds(evaluation)))
        plots.append(Plot("recall", "Recall", f"True objects found after each round, {at}", _recalls(evaluation)))
    if evaluation.frequent(1):
        legend = f"Rows are true classes, columns found ones, {at}"
        plots.append(Plot("confusion", "Confusion", legend, _confusion(evaluation)))
    return plots


def _hues(evaluation: Evaluation) -> _Colours:
    """Give the most frequent classes the colours of the report: by their number of found boxes."""
    ranked = sorted(evaluation.classes, key=lambda one: (-one.found, one.name))
    return {one.name: f"hue-{rank}" for rank, one in enumerate(ranked[: chart.HUES])}


def _stand_alone(plot: Plot) -> str:
    """Return a plot as an SVG document with its title, in light colours on white."""
    _, _, *size = map(float, plot.svg.partition('viewBox="')[2].partition('"')[0].split())
    width, height = size
    whole, tall = max(width, _LEAST_WIDTH) + 2 * _MARGIN, height + _HEAD + 2 * _MARGIN
    text = element(
        "svg",
        element("title", plot.title),
        element("style", Html("\n".join((plot_style(), _HEAD_STYLE)))),
        element("rect", width="100%", height="100%", fill="#fff"),
        element("text", plot.title, x=_MARGIN, y=_MARGIN + 14, class_="title"),
        element("text", plot.description, x=_MARGIN, y=_MARGIN + 34, class_="under"),
        element("svg", plot.svg, x=_MARGIN, y=_MARGIN + _HEAD, width=width, height=height),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {whole:g} {tall:g}",
        width=f"{whole:g}",
        height=f"{tall:g}",
        font_family=_FONT,
    )
    return _NOT_XML.sub("\ufffd", text) + "\n"


def _curves(
    evaluation: Evaluation,
    measured: Precision,
    *,
    kind: str,
    colours: _Colours,
) -> Html:
    """Plot precision over recall of the most frequent classes."""
    lines: list[chart.PlotLine] = []
    shown = evaluation.frequent(_MOST_CURVES)
    known = all(evaluation.classes[number].name in colours for number in shown)
    for place, number in enumerate(shown):
        points, one = measured.curves[number], evaluation.classes[number]
        hue = colours[one.name] if known else f"hue-{place}"
        if points is not None:
            reached = sum(value > 0 for value in points)
            at_run = (one.recall or 0, one.precision or 0) if kind == "boxes" and one.found else None
            steps = [(step / (len(points) - 1), value) for step, value in enumerate(points[:reached])]
            name = f"{shorten(one.name, _LONGEST_NAME)} {measured.ap50_by_class[number] or 0:.3f}"
            lines.append(chart.PlotLine(name, hue, steps, at_run))
    description = ", ".join(line.name for line in lines)
    return chart.curves(lines, label=f"Precision over recall of {kind}: {description}") if lines else Html("")


def _rounds(evaluation: Evaluation) -> Html:
    """Plot what each round found, right and wrong."""
    columns = [{"right": one.right, "wrong": one.wrong} for one in evaluation.rounds]
    captions = [(round_name(one.round), f"{one.right / max(1, one.found):.0%} right") for one in evaluation.rounds]
    description = ", ".join(
        f"{name[0]}: {one.right} right, {one.wrong} wrong"
        for name, one in zip(captions, evaluation.rounds, strict=True)
    )
    return chart.stacked_columns(columns, captions, label=f"Boxes by round. {description}")


def _recalls(evaluation: Evaluation) -> Html:
    """Plot the share of true objects that were found after each round."""
    shares = [one.recall or 0 for one in evaluation.rounds]
    captions = [(round_name(one.round), f"+{one.right:,} right") for one in evaluation.rounds]
    description = ", ".join(f"{name[0]}: {share:.1%}" for name, share in zip(captions, shares, strict=True))
    return chart.rising_line(shares, captions, label=f"Recall after each round. {description}")


def _confusion(evaluation: Evaluation) -> Html:
    """Draw how often objects of the most frequent classes were found as which."""
    shown = evaluation.frequent(_MOST_CONFUSED)
    names = [shorten(evaluation.classes[number].name, _LONGEST_NAME) for number in shown]
    counts = evaluation.matrix(shown)
    return chart.matrix(
        counts, rows=[*names, "nothing there"], columns=[*names, "missed"], label="Confusion of classes"
    )
