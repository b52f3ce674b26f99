"""Plots as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autolabel.report.markup import Html, element

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 18, 40
HUES = 10
"""How many colours the style sheet has, ``hue-0`` to ``hue-9``; ``hue-other`` is for the rest."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through (x, y) points in 0..1, with one place of its own."""

    name: str
    hue: str
    points: Sequence[tuple[float, float]]
    mark: tuple[float, float] | None


def svg(*children: str, width: float, height: float, label: str, class_: str) -> Html:
    """Return a picture with a text for those who do not see it."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=label,
        class_=f"chart {class_}",
    )


def stacked_columns(columns: Sequence[Mapping[str, int]], captions: Sequence[tuple[str, str]], *, label: str) -> Html:
    """Draw a column for each round, its parts (hue to count) on top of each other; captions have two lines."""
    totals = [sum(column.values()) for column in columns]
    ceiling = nice_ceiling(max(totals, default=0))
    pieces = [*axis([0, ceiling / 2, ceiling], ceiling=ceiling, form=thousands)]
    step = (WIDTH - LEFT - RIGHT) / max(1, len(columns))
    bar = min(56, step * 0.7)
    for index, (column, total) in enumerate(zip(columns, totals, strict=True)):
        middle = LEFT + step * (index + 0.5)
        level = 0
        for hue, count in column.items():
            top = y(level + count, ceiling)
            height = y(level, ceiling) - top
            pieces.append(
                element(
                    "rect",
                    x=number(middle - bar / 2),
                    y=number(top),
                    width=number(bar),
                    height=number(height),
                    class_=hue,
                )
            )
            level += count
        pieces.append(words(middle, y(total, ceiling) - 5, thousands(total), class_="value"))
        if keeps(index, len(columns)):
            pieces += below(middle, captions[index])
    return svg(*pieces, width=WIDTH, height=HEIGHT, label=label, class_="columns")


def rising_line(shares: Sequence[float], captions: Sequence[tuple[str, str]], *, label: str) -> Html:
    """Draw shares from 0 to 1, one a round, as a line with points."""
    step = (WIDTH - LEFT - RIGHT) / max(1, len(shares))
    points = [(LEFT + step * (index + 0.5), y(share, 1)) for index, share in enumerate(shares)]
    pieces = [*axis([0, 0.5, 1], ceiling=1, form=percent)]
    line = " ".join(f"{number(x)},{number(height)}" for x, height in points)
    pieces.append(element("polyline", points=line, class_="line"))
    for index, ((x, height), share) in enumerate(zip(points, shares, strict=True)):
        pieces.append(element("circle", cx=number(x), cy=number(height), r=4, class_="point"))
        if keeps(index, len(shares)):
            pieces.append(words(x, height + (18 if share > 0.5 else -9), percent(share), class_="value"))
            pieces += below(x, captions[index])
    return svg(*pieces, width=WIDTH, height=HEIGHT, label=label, class_="rising")


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
                    x=number(index * step + 0.5),
                    y=number(base - tall),
                    width=number(step - 1),
                    height=number(tall),
                    class_=hue,
                )
            )
    pieces.append(element("line", x1=0, x2=width, y1=base, y2=base, class_="base"))
    pieces += [
        element("line", x1=number(mark * width), x2=number(mark * width), y1=2, y2=base, class_="mark")
        for mark in marks
    ]
    for place, text, anchor in ((0, "0", "start"), (0.5, "0.5", "middle"), (1, "1", "end")):
        pieces.append(words(place * width, base + 14, text, class_=f"tick {anchor}"))
    return svg(*pieces, width=width, height=height, label=label, class_="histogram")


def bar(parts: Sequence[tuple[str, float]], *, label: str) -> Html:
    """Draw shares of a whole, (class, share), beside each other as one bar."""
    pieces, left = [], 0.0
    for class_, share in parts:
        if share:
            pieces.append(
                element("rect", x=number(left * 100), y=0, width=number(share * 100), height=6, class_=class_)
            )
        left += share
    return element(
        "svg", *pieces, viewBox="0 0 100 6", preserveAspectRatio="none", role="img", aria_label=label, class_="bar"
    )


def curves(lines: Sequence[Curve], *, label: str) -> Html:
    """Draw lines in a square from 0 to 1, each in its own colour, with their names below."""
    side, rows = 300.0, -(-len(lines) // 2)

    def across(value: float) -> float:
        return LEFT + side * value

    def down(value: float) -> float:
        return TOP + side * (1 - value)

    pieces = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        pieces += [
            element("line", x1=LEFT, x2=LEFT + side, y1=number(down(tick)), y2=number(down(tick)), class_="grid"),
            element("line", x1=number(across(tick)), x2=number(across(tick)), y1=TOP, y2=TOP + side, class_="grid"),
            words(LEFT - 6, down(tick) + 4, percent(tick), class_="tick end"),
            words(across(tick), TOP + side + 15, percent(tick), class_="tick"),
        ]
    for index, line in enumerate(lines):
        hue = line.hue
        path = " ".join(f"{number(across(x))},{number(down(y))}" for x, y in line.points)
        pieces.append(element("polyline", points=path, class_=f"curve {hue}"))
        if line.mark is not None:
            x, y = line.mark
            pieces.append(element("circle", cx=number(across(x)), cy=number(down(y)), r=4, class_=f"dot {hue}"))
        left, top = LEFT + side / 2 * (index % 2), TOP + side + 36 + 17 * (index // 2)
        pieces.append(element("rect", x=number(left), y=number(top - 8), width=9, height=9, class_=hue))
        pieces.append(words(left + 15, top, line.name, class_="start"))
    return svg(*pieces, width=LEFT + side + 16, height=TOP + side + 30 + 17 * rows, label=label, class_="curves")


def matrix(counts: Sequence[Sequence[int]], *, rows: Sequence[str], columns: Sequence[str], label: str) -> Html:
    """Draw a table of counts whose cells are shaded by their share of the row."""
    left, cell, head = 112.0, 52.0, 92.0
    pieces = []
    for place, name in enumerate(rows):
        pieces.append(words(left - 8, head + cell * (place + 0.5) + 4, name, class_="end"))
    for place, name in enumerate(columns):
        x, y = left + cell * (place + 0.5), head - 8
        turned = f"rotate(-40 {number(x)} {number(y)})"
        pieces.append(element("text", name, x=number(x), y=number(y), transform=turned, class_="start"))
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            share = count / max(1, sum(line))
            x, y = left + cell * column, head + cell * row
            shade = number(0.05 + 0.6 * share)
            pieces.append(
                element("rect", x=number(x + 1), y=number(y + 1), width=cell - 2, height=cell - 2, fill_opacity=shade)
            )
            if count:
                pieces.append(words(x + cell / 2, y + cell / 2 + 4, thousands(count), class_="value"))
    width, height = left + cell * len(columns) + 60, head + cell * len(rows) + 4
    return svg(*pieces, width=width, height=height, label=label, class_="matrix")


def axis(ticks: Sequence[float], *, ceiling: float, form: object) -> list[Html]:
    """Draw lines across the plot with what they stand for."""
    assert callable(form)
    out = []
    for tick in dict.fromkeys(ticks):
        height = number(y(tick, ceiling))
        out.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, class_="grid"))
        out.append(words(LEFT - 6, y(tick, ceiling) + 4, form(tick), class_="tick end"))
    return out


def below(x: float, lines: tuple[str, str]) -> list[Html]:
    """Write two lines under the plot."""
    first, second = lines
    return [
        words(x, HEIGHT - BOTTOM + 16, first, class_="tick"),
        words(x, HEIGHT - BOTTOM + 31, second, class_="tick faint"),
    ]


def words(x: float, y: float, text: str, *, class_: str) -> Html:
    """Write text, centred unless the class says otherwise."""
    return element("text", text, x=number(x), y=number(y), class_=class_)


def keeps(index: int, count: int) -> bool:
    """Tell whether there is room for the caption of this one of ``count`` columns."""
    return index % -(-count // 8) == 0


def y(value: float, ceiling: float) -> float:
    """Return the height on the picture of a value of the axis."""
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / (ceiling or 1))


def nice_ceiling(value: float) -> float:
    """Return the next of 2, 4, 6, 8, 10, 20, 40, ..."""
    size = 1
    while size * 10 < value:
        size *= 10
    return next((step * size for step in (2, 4, 6, 8) if step * size >= value), 10 * size)


def number(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def thousands(value: float) -> str:
    """Write a count with separators, large ones short: 1,234 or 1.2M."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f}M"
    return f"{value / 1000:.0f}k" if value >= 100_000 else f"{value:,.0f}"


def percent(value: float) -> str:
    """Write a share."""
    return f"{value:.0%}"
