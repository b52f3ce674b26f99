"""Plots as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autolabel.report.markup import Html, element

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 18, 40
HUES = 10
"""The number of colours in the style sheet, ``hue-0`` to ``hue-9``; ``hue-other`` is for the rest."""


@dataclass(frozen=True, slots=True)
class PlotLine:
    """A line through (x, y) points in 0..1, with one highlighted point."""

    name: str
    hue: str
    points: Sequence[tuple[float, float]]
    mark: tuple[float, float] | None


def _svg(*children: str, width: float, height: float, label: str, class_: str) -> Html:
    """Return an SVG element with an alternative text."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        role="img",
        aria_label=label,
        class_=f"chart {class_}",
    )


def stacked_columns(columns: Sequence[Mapping[str, int]], captions: Sequence[tuple[str, str]], *, label: str) -> Html:
    """Draw a stacked column for each round, its parts given as hue to count; captions have two lines."""
    totals = [sum(column.values()) for column in columns]
    ceiling = _nice_ceiling(max(totals, default=0))
    pieces = [*_axis([0, ceiling / 2, ceiling], ceiling=ceiling, form=_thousands)]
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    bar = min(56, step * 0.7)
    for index, (column, total) in enumerate(zip(columns, totals, strict=True)):
        middle = _LEFT + step * (index + 0.5)
        level = 0
        for hue, count in column.items():
            top = _y(level + count, ceiling)
            height = _y(level, ceiling) - top
            pieces.append(
                element(
                    "rect",
                    x=_number(middle - bar / 2),
                    y=_number(top),
                    width=_number(bar),
                    height=_number(height),
                    class_=hue,
                )
            )
            level += count
        pieces.append(_words(middle, _y(total, ceiling) - 5, _thousands(total), class_="value"))
        if _keeps(index, len(columns)):
            pieces += _below(middle, captions[index])
    return _svg(*pieces, width=_WIDTH, height=_HEIGHT, label=label, class_="columns")


def rising_line(shares: Sequence[float], captions: Sequence[tuple[str, str]], *, label: str) -> Html:
    """Draw shares from 0 to 1, one per round, as a line with points."""
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(shares))
    points = [(_LEFT + step * (index + 0.5), _y(share, 1)) for index, share in enumerate(shares)]
    pieces = [*_axis([0, 0.5, 1], ceiling=1, form=_percent)]
    line = " ".join(f"{_number(x)},{_number(height)}" for x, height in points)
    pieces.append(element("polyline", points=line, class_="line"))
    for index, ((x, height), share) in enumerate(zip(points, shares, strict=True)):
        pieces.append(element("circle", cx=_number(x), cy=_number(height), r=4, class_="point"))
        if _keeps(index, len(shares)):
            pieces.append(_words(x, height + (18 if share > 0.5 else -9), _percent(share), class_="value"))
            pieces += _below(x, captions[index])
    return _svg(*pieces, width=_WIDTH, height=_HEIGHT, label=label, class_="rising")


def histogram(bins: Sequence[int], marks: Sequence[float], *, hue: str, label: str) -> Html:
    """Draw counts over scores from 0 to 1, with dashed lines at ``marks``."""
    width, height, base = 240, 96, 78
    tallest = max([*bins, 1])
    step = width / len(bins)
    pieces = []
    for index, count in enumerate(bins):
        if count:
            tall = max(1.5, (base - 6) * count / tallest)
            pieces.append(
                element(
                    "rect",
                    x=_number(index * step + 0.5),
                    y=_number(base - tall),
                    width=_number(step - 1),
                    height=_number(tall),
                    class_=hue,
                )
            )
    pieces.append(element("line", x1=0, x2=width, y1=base, y2=base, class_="base"))
    pieces += [
        element("line", x1=_number(mark * width), x2=_number(mark * width), y1=2, y2=base, class_="mark")
        for mark in marks
    ]
    for place, text, anchor in ((0, "0", "start"), (0.5, "0.5", "middle"), (1, "1", "end")):
        pieces.append(_words(place * width, base + 14, text, class_=f"tick {anchor}"))
    return _svg(*pieces, width=width, height=height, label=label, class_="histogram")


def bar(parts: Sequence[tuple[str, float]], *, label: str) -> Html:
    """Draw shares of a whole, (class, share), as one stacked bar."""
    pieces, left = [], 0.0
    for class_, share in parts:
        if share:
            pieces.append(
                element("rect", x=_number(left * 100), y=0, width=_number(share * 100), height=6, class_=class_)
            )
        left += share
    return element(
        "svg", *pieces, viewBox="0 0 100 6", preserveAspectRatio="none", role="img", aria_label=label, class_="bar"
    )


def curves(lines: Sequence[PlotLine], *, label: str) -> Html:
    """Draw lines in a square from 0 to 1, each in its own colour, with their names below."""
    side, rows = 300.0, -(-len(lines) // 2)

    def across(value: float) -> float:
        return _LEFT + side * value

    def down(value: float) -> float:
        return _TOP + side * (1 - value)

    pieces = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        pieces += [
            element("line", x1=_LEFT, x2=_LEFT + side, y1=_number(down(tick)), y2=_number(down(tick)), class_="grid"),
            element("line", x1=_number(across(tick)), x2=_number(across(tick)), y1=_TOP, y2=_TOP + side, class_="grid"),
            _words(_LEFT - 6, down(tick) + 4, _percent(tick), class_="tick end"),
            _words(across(tick), _TOP + side + 15, _percent(tick), class_="tick"),
        ]
    for index, line in enumerate(lines):
        hue = line.hue
        path = " ".join(f"{_number(across(x))},{_number(down(y))}" for x, y in line.points)
        pieces.append(element("polyline", points=path, class_=f"curve {hue}"))
        if line.mark is not None:
            x, y = line.mark
            pieces.append(element("circle", cx=_number(across(x)), cy=_number(down(y)), r=4, class_=f"dot {hue}"))
        left, top = _LEFT + side / 2 * (index % 2), _TOP + side + 36 + 17 * (index // 2)
        pieces.append(element("rect", x=_number(left), y=_number(top - 8), width=9, height=9, class_=hue))
        pieces.append(_words(left + 15, top, line.name, class_="start"))
    return _svg(*pieces, width=_LEFT + side + 16, height=_TOP + side + 30 + 17 * rows, label=label, class_="curves")


def matrix(counts: Sequence[Sequence[int]], *, rows: Sequence[str], columns: Sequence[str], label: str) -> Html:
    """Draw a table of counts whose cells are shaded by their share of the row."""
    left, cell, head = 112.0, 52.0, 92.0
    pieces = []
    for place, name in enumerate(rows):
        pieces.append(_words(left - 8, head + cell * (place + 0.5) + 4, name, class_="end"))
    for place, name in enumerate(columns):
        x, y = left + cell * (place + 0.5), head - 8
        turned = f"rotate(-40 {_number(x)} {_number(y)})"
        pieces.append(element("text", name, x=_number(x), y=_number(y), transform=turned, class_="start"))
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            share = count / max(1, sum(line))
            x, y = left + cell * column, head + cell * row
            shade = _number(0.05 + 0.6 * share)
            pieces.append(
                element("rect", x=_number(x + 1), y=_number(y + 1), width=cell - 2, height=cell - 2, fill_opacity=shade)
            )
            if count:
                pieces.append(_words(x + cell / 2, y + cell / 2 + 4, _thousands(count), class_="value"))
    width, height = left + cell * len(columns) + 60, head + cell * len(rows) + 4
    return _svg(*pieces, width=width, height=height, label=label, class_="matrix")


def _axis(ticks: Sequence[float], *, ceiling: float, form: object) -> list[Html]:
    """Draw grid lines with their values."""
    assert callable(form)
    out = []
    for tick in dict.fromkeys(ticks):
        height = _number(_y(tick, ceiling))
        out.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=height, y2=height, class_="grid"))
        out.append(_words(_LEFT - 6, _y(tick, ceiling) + 4, form(tick), class_="tick end"))
    return out


def _below(x: float, lines: tuple[str, str]) -> list[Html]:
    """Write two lines under the plot."""
    first, second = lines
    return [
        _words(x, _HEIGHT - _BOTTOM + 16, first, class_="tick"),
        _words(x, _HEIGHT - _BOTTOM + 31, second, class_="tick faint"),
    ]


def _words(x: float, y: float, text: str, *, class_: str) -> Html:
    """Write text, centred unless the class says otherwise."""
    return element("text", text, x=_number(x), y=_number(y), class_=class_)


def _keeps(index: int, count: int) -> bool:
    """Return whether the caption of this one of ``count`` columns fits."""
    return index % -(-count // 8) == 0


def _y(value: float, ceiling: float) -> float:
    """Return the height on the picture of a value of the axis."""
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / (ceiling or 1))


def _nice_ceiling(value: float) -> float:
    """Return the next of 2, 4, 6, 8, 10, 20, 40, ..."""
    size = 1
    while size * 10 < value:
        size *= 10
    return next((step * size for step in (2, 4, 6, 8) if step * size >= value), 10 * size)


def _number(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _thousands(value: float) -> str:
    """Write a count with separators, large ones short: 1,234 or 1.2M."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f}M"
    return f"{value / 1000:.0f}k" if value >= 100_000 else f"{value:,.0f}"


def _percent(value: float) -> str:
    """Write a share."""
    return f"{value:.0%}"
