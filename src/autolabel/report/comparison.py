"""A run compared with the truth: tables and plots of its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autolabel.report.markup import Html, element
from autolabel.report.overview import MOST_CLASSES, Palette, swatch
from autolabel.report.plots import Plot, evaluation_plots
from autolabel.report.provenance import html_table

if TYPE_CHECKING:
    from autolabel.evaluate import Evaluation


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
        element("div", *map(_figure, evaluation_plots(evaluation, colours)), class_="pair spaced"),
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


def _figure(plot: Plot) -> Html:
    """Return a plot with its heading."""
    words = element("figcaption", element("h3", plot.title), element("p", plot.description, class_="faint"))
    return element("figure", words, plot.svg, class_="card")


def _share(value: float | None) -> str:
    """Return a share with three decimals."""
    return "–" if value is None else f"{value:.3f}"
