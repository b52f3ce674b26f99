"""The report's section on calibrated scores."""

from __future__ import annotations

from autolabel.report.markup import Html, element
from autolabel.report.provenance import html_table
from autolabel.results.score_curves import Bin, Chances


def reliability_section(chances: Chances | None) -> Html:
    """Return the section on calibrated scores; empty if there is no calibration."""
    if chances is None:
        return Html("")
    facts = (
        f"From {chances.images:,} checked images: {chances.right:,} of {chances.boxes:,} boxes are right. "
        "The calibration error (D-ECE), the mean distance between a score and the share of right boxes, "
        f"is {chances.before.error:.3f} for the labeler's scores, and {chances.after.error:.3f} for calibrated scores, "
        "on images that the calibration had not seen."
    )
    before = {one.low: one for one in chances.before.bins}
    after = {one.low: one for one in chances.after.bins}
    rows = [
        (f"{low:.1f} to {low + 0.1:.1f}", *_cells(before.get(low)), *_cells(after.get(low)))
        for low in sorted(before.keys() | after.keys())
    ]
    head = ("Score", "boxes", "mean score", "right", "boxes, calibrated", "mean score", "right")
    return element(
        "section",
        element("h2", "What scores mean", id="scores-title"),
        element("p", facts, class_="faint"),
        element("div", html_table(head, rows), class_="card"),
        id="scores",
        aria_labelledby="scores-title",
    )


def _cells(one: Bin | None) -> tuple[str, str, str]:
    """Return the cells of a bin."""
    return ("0", "-", "-") if one is None else (f"{one.boxes:,}", f"{one.score:.3f}", f"{one.right:.3f}")
