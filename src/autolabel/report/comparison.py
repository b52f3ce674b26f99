"""A run compared with the truth: tables and plots of its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autolabel.report import chart
from autolabel.report.markup import Html, element, shorten
from autolabel.report.overview import MOST_CLASSES, Palette, round_name, swatch
from autolabel.report.provenance import html_table

if TYPE_CHECKING:
    from autolabel.evaluate import Evaluation

_MOST_CURVES = chart.HUES
_MOST_CONFUSED = 12
_LONGEST_NAME = 16


def comparison(evaluation: Evaluation | None, colours: Palette) -> Html:
    """Return the section on the truth; empty if there is none."""
    if evaluation is None:
        return Html("")
    notes = [element("li", note) for note in evaluation.notes]
    facts = f"{evaluation.covered}, {evaluation.total.true:,} true objects. A box is right where it overlaps a "
    return element(
        "section",
        element("h2", "Against the truth", id="truth-title"),
        element("p", f"{facts}true one of its class by {evaluation.iou:g} or more (IoU).", class_="faint"),
        element("ul", *notes, class_="notices") if notes else "",
        element("div", _averages(evaluation), _table_of_classes(evaluation, colours), class_="card"),
        element("div", *_figures(evaluation, colours), class_="pair spaced"),
        id="truth",
        aria_labelledby="truth-title",
    )


def _averages(evaluation: Evaluation) -> Html:
    """Return COCO's averages of boxes and masks."""
    head = ("Average precision (COCO)", "AP", "AP50", "AP75", "small", "medium", "large", "AR100")
    rows = [
        (name, *map(_share, (m.ap, m.ap50, m.ap75, m.ap_small, m.ap_medium, m.ap_large, m.ar100)))
        for name, m in (("boxes", evaluation.boxes), ("masks", evaluation.masks))
        if m is not None
    ]
    return html_table(head, rows)


def _table_of_classes(evaluation: Evaluation, colours: Palette) -> Html:
    """Return precision, recall and F1 of each class at the run's thresholds."""
    head = ("Class, at the run's thresholds", "true", "found", "right", "precision", "recall", "F1", "AP50")
    shown = evaluation.frequent(MOST_CLASSES)
    counted = [(swatch(evaluation.classes[n].name, colours), evaluation.classes[n], n) for n in shown]
    rows = [
        (
            name,
            *(f"{count:,}" for count in (one.true, one.found, one.right)),
            *map(_share, (one.precision, one.recall, one.f1)),
            _share(evaluation.boxes.ap50_by_class[number] if number is not None else evaluation.boxes.ap50),
        )
        for name, one, number in (*counted, (Html("<b>all</b>"), evaluation.total, None))
    ]
    return html_table(head, rows)


def _figures(evaluation: Evaluation, colours: Palette) -> list[Html]:
    """Return the plots."""
    kinds = [("boxes", evaluation.boxes), ("masks", evaluation.masks)]
    plots = [
        _figure(f"Precision over recall, {kind}", "By class, at IoU 0.5. A dot is the run at its thresholds.", plot)
        for kind, measured in kinds
        if measured is not None and (plot := _curves(evaluation, measured.curves, kind=kind, colours=colours))
    ]
    plots.append(_figure("What each round found", "Right and wrong boxes.", _rounds(evaluation)))
    plots.append(_figure("Recall", "True objects found after each round.", _recalls(evaluation)))
    if evaluation.frequent(1):
        legend = "Rows: true classes. Columns: found classes. Shades are shares of a row."
        plots.append(_figure("Confusion", legend, _confusion(evaluation)))
    return plots


def _figure(title: str, description: str, plot: Html) -> Html:
    """Return a plot with its heading."""
    words = element("figcaption", element("h3", title), element("p", description, class_="faint"))
    return element("figure", words, plot, class_="card")


def _curves(
    evaluation: Evaluation, measured: Sequence[tuple[float, ...] | None], *, kind: str, colours: Palette
) -> Html:
    """Plot precision over recall of the most frequent classes."""
    lines: list[chart.PlotLine] = []
    shown = evaluation.frequent(_MOST_CURVES)
    known = all(evaluation.classes[number].name in colours for number in shown)
    for place, number in enumerate(shown):
        points, one = measured[number], evaluation.classes[number]
        hue = colours[one.name] if known else f"hue-{place}"
        if points is not None:
            reached = sum(value > 0 for value in points)
            at_run = (one.recall or 0, one.precision or 0) if kind == "boxes" and one.found else None
            steps = [(step / (len(points) - 1), value) for step, value in enumerate(points[:reached])]
            lines.append(chart.PlotLine(shorten(one.name, _LONGEST_NAME), hue, steps, at_run))
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


def _share(value: float | None) -> str:
    """Return a share with three decimals."""
    return "–" if value is None else f"{value:.3f}"
