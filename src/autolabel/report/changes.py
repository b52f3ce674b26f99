"""Write the page of changes between two runs, one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from autolabel.images import ValueRange
from autolabel.report.markup import Html, csp_hash, element, escape_html, join_html, shorten
from autolabel.report.style import page_part, page_style
from autolabel.report.thumbnail import thumbnail
from autolabel.results.change import BINS, KINDS, Change, ImageChange, RunChange, Seen

PAGE = "index.html"
_MOST_BYTES = 12_000_000
_LONGEST_NAME = 200
_MOST_DRAWN = 500
"""Objects drawn in one image."""
_SHOWN = ("gained", "lost", "moved", "relabelled")


def write_changes(
    change: RunChange, out: Path, *, names: tuple[str, str], max_pixels: int, value_range: ValueRange = None
) -> Path:
    """Write ``out/index.html`` and return its path; ``names`` are the names of the two runs.

    The page stays below 15 MB for runs of any size.
    """
    style = page_style("changes.css")
    page = Template(page_part("changes.html")).substitute(
        style=style,
        style_hash=csp_hash(style),
        before=escape_html(names[0]),
        after=escape_html(names[1]),
        tiles=_tiles(change),
        notes=_notes(change),
        classes=_classes(change),
        relabelled=_relabelled(change),
        scores=_scores(change),
        images=join_html(_images(change.most, max_pixels=max_pixels, value_range=value_range)),
    )
    path = out / PAGE
    path.write_bytes(page.encode("utf-8", "replace"))
    return path


def _tiles(change: RunChange) -> Html:
    counts = {"images in both": change.images, "changed": change.changed}
    counts |= {f"objects {kind}": change.kinds[kind] for kind in (*_SHOWN, "kept")}
    return join_html(
        element("div", element("strong", f"{count:,}"), element("span", name), class_="figure")
        for name, count in counts.items()
    )


def _notes(change: RunChange) -> Html:
    notes = []
    if change.only_before:
        notes.append(f"{change.only_before:,} images are in the first run alone.")
    if change.only_after:
        notes.append(f"{change.only_after:,} images are in the second run alone.")
    notes += [f"{count:,} images were {old} and are {new}." for (old, new), count in change.states.most_common()]
    return join_html(element("p", note) for note in notes)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Html:
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    ]
    top = element("tr", *(element("th", name, scope="col") for name in head))
    return element("div", element("table", element("thead", top), element("tbody", *body)), class_="scroll")


def _classes(change: RunChange) -> Html:
    rows = ((name, *(f"{counts[kind]:,}" for kind in KINDS)) for name, counts in change.by_class.items())
    return _table(("class", *KINDS), rows)


def _relabelled(change: RunChange) -> Html:
    if not change.relabelled:
        return Html("")
    rows = ((old, new, f"{count:,}") for (old, new), count in change.relabelled.most_common(50))
    return join_html([element("h3", "Relabelled"), _table(("was", "is", "objects"), rows)])


def _scores(change: RunChange) -> Html:
    rows = (
        (
            f"{place / BINS:.1f} to {(place + 1) / BINS:.1f}",
            *(f"{change.scores[kind][place]:,}" for kind in ("gained", "lost")),
        )
        for place in reversed(range(BINS))
    )
    return _table(("score", "gained", "lost"), rows)


def _images(images: Sequence[ImageChange], *, max_pixels: int, value_range: ValueRange) -> Iterator[Html]:
    left, share = _MOST_BYTES, _MOST_BYTES // max(1, min(len(images), 60))
    for image in images:
        shown = thumbnail(image.path, max_pixels=max_pixels, max_bytes=min(share, left), value_range=value_range)
        drawn = _drawing(image, shown.jpeg)
        if len(drawn) + len(shown.jpeg) > left:
            return
        left -= len(drawn)
        counts = [f"{count} {kind}" for kind in _SHOWN if (count := sum(c.kind == kind for c in image.changes))]
        states = "" if image.states[0] == image.states[1] else f"; was {image.states[0]}, is {image.states[1]}"
        caption = element(
            "figcaption", element("strong", shorten(image.image, _LONGEST_NAME)), f" {', '.join(counts)}{states}"
        )
        problem = element("p", shown.problem, class_="note") if shown.problem else Html("")
        yield element("figure", drawn, problem, caption, class_="change card")


def _drawing(image: ImageChange, jpeg: str) -> Html:
    height, width = image.size
    picture = (
        Html(f'<image href="data:image/jpeg;base64,{jpeg}" width="{width}" height="{height}"/>') if jpeg else Html("")
    )
    drawn = sorted(image.changes, key=lambda change: _SHOWN.index(change.kind) if change.kind in _SHOWN else -1)
    shapes = [shape for change in drawn[-_MOST_DRAWN:] for shape in _shapes(change)]
    label = f"{image.image}: changed objects"
    return element(
        "svg", picture, *shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=shorten(label, _LONGEST_NAME)
    )


def _shapes(change: Change) -> Iterator[Html]:
    """Yield the outlines of an object: dashed before, solid after."""
    was, now = change.before, change.after
    if change.kind in ("moved", "lost") and was is not None:
        yield _outline(was, change.kind, f"{change.kind}: was {was[1]} {was[2]:.2f}", was_there=True)
    if now is not None:
        old = "" if was is None or was[1] == now[1] else f" (was {was[1]})"
        yield _outline(now, change.kind, f"{change.kind}: {now[1]} {now[2]:.2f}{old}", was_there=False)


def _outline(seen: Seen, kind: str, title: str, *, was_there: bool) -> Html:
    x1, y1, x2, y2 = (round(value, 1) for value in seen[0])
    return element(
        "rect",
        element("title", title),
        x=x1,
        y=y1,
        width=round(x2 - x1, 1),
        height=round(y2 - y1, 1),
        class_=f"{kind} was" if was_there else kind,
    )
