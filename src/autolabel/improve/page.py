"""Write the page of all rounds, one self-contained HTML file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template
from urllib.parse import quote

from autolabel.evaluate.paired import Estimate
from autolabel.improve.rounds import ImproveHistory, ImproveRound
from autolabel.report.chart import rising_line
from autolabel.report.markup import Html, csp_hash, element, join_html
from autolabel.report.style import page_part, page_style
from autolabel.results.store import publish

_PAGE = "index.html"
_HEAD = ("run", "images checked", "trained on", "held out", "AP at IoU 0.5", "gain", "AP", "precision", "recall", "")


def write_page(folder: Path, history: ImproveHistory) -> Path:
    """Write ``folder/index.html`` and return its path."""
    style = page_style("changes.css")
    text = Template(page_part("history.html")).substitute(
        style=style,
        style_hash=csp_hash(style),
        table=_table(history.rounds),
        charts=join_html(_chart(history.rounds, *one) for one in _CHARTS),
        rounds=join_html(_told(number, one, folder) for number, one in enumerate(history.rounds, 1)),
    )
    publish(folder / _PAGE, [text.encode("utf-8", "replace")], name="improve")
    return folder / _PAGE


_CHARTS: tuple[tuple[str, Callable[[ImproveRound], tuple[Estimate, Estimate]]], ...] = (
    ("AP at IoU 0.5", lambda one: (one.gain.ap50.before, one.gain.ap50.after)),
    ("Precision", lambda one: (one.gain.precision.before, one.gain.precision.after)),
    ("Recall", lambda one: (one.gain.recall.before, one.gain.recall.after)),
)


def _table(rounds: Sequence[ImproveRound]) -> Html:
    rows = []
    for one in rounds:
        gain = one.gain
        cells = (
            f"{one.checked:,}",
            f"{len(one.trained_on):,}",
            f"{len(one.held_out):,}",
            f"{_value(gain.ap50.before)} → {_with_interval(gain.ap50.after)}",
            _with_interval(gain.ap50.gain, sign="+"),
            *(f"{_value(pair.before)} → {_value(pair.after)}" for pair in (gain.ap, gain.precision, gain.recall)),
            "accepted" if one.accepted else "not accepted",
        )
        name = element("th", Path(one.after).name, scope="row")
        rows.append(element("tr", name, *(element("td", cell) for cell in cells)))
    head = element("tr", *(element("th", name, scope="col") for name in _HEAD))
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _chart(
    rounds: Sequence[ImproveRound], name: str, read: Callable[[ImproveRound], tuple[Estimate, Estimate]]
) -> Html:
    """Plot a metric before the first round and after each round."""
    if not rounds:
        return Html("")
    shares = [read(rounds[0])[0].value or 0.0, *(read(one)[1].value or 0.0 for one in rounds)]
    captions = [
        (Path(rounds[0].before).name, "before"),
        *((Path(one.after).name, f"{one.checked} checked") for one in rounds),
    ]
    drawn = rising_line(shares, captions, label=f"{name} of each run")
    return element("figure", drawn, element("figcaption", element("strong", name)), class_="change")


def _told(number: int, one: ImproveRound, folder: Path) -> Html:
    diff = os.path.relpath(Path(one.after) / "diff" / "index.html", folder.resolve())
    lines = [
        element("h3", f"Round {number}: {Path(one.before).name} to {Path(one.after).name}"),
        element("p", f"{one.said[:1].upper()}{one.said[1:]}."),
        element("p", "New weights: ", element("code", one.checkpoint)),
        element("p", element("a", "What changed", href=quote(os.fsencode(Path(diff).as_posix())))),
        *(element("p", f"Note: {note}") for note in one.notes),
    ]
    if one.check_next:
        names = element("ol", *(element("li", name) for name in one.check_next))
        lines += [element("p", "Check next, the likeliest errors first:"), names]
    return join_html(lines)


def _value(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.3f}"


def _with_interval(estimate: Estimate, *, sign: str = "") -> str:
    if estimate.value is None or estimate.interval is None:
        return _value(estimate)
    low, high = estimate.interval
    return f"{estimate.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
