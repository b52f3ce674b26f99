"""Print a certificate as a table on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autolabel.certify.sentence import about_minutes, one_digit, percent
from autolabel.certify.statement import Certificate, Stated, WithinBudget
from autolabel.word_table import word_table

_NOT_STATED = "not stated"


def render_certificate(made: Certificate) -> RenderableType:
    """Return the output of `autolabel certify`; names are escaped."""
    return Group(*_parts(made))


def _parts(made: Certificate) -> Iterator[RenderableType]:
    title = f"{made.confidence:g} confidence, each bound by itself; K = {made.K} missed objects an image"
    table = word_table(title, "", "at least", "at most", "estimate", "wanted", "to do")
    noun = {"precision": "boxes", "recall": "images"}
    for name, stated in (("precision", made.precision), ("recall", made.recall)):
        table.add_row(name, *_cells(stated), _wanted(stated), _to_do(stated, noun[name]))
    table.add_row("images that lack nothing", *_cells(made.complete), "", "")
    yield table
    yield Text("\n".join(_lines(made)))
    if made.classes:
        yield _classes(made)
    yield Text(made.sentence)


def _lines(made: Certificate) -> Iterator[str]:
    boxes, images, after = made.boxes, made.images, made.after_review
    yield (
        f"checked: {boxes.checked:,} of {boxes.units:,} boxes ({boxes.right:,} right, {boxes.wrong:,} wrong,"
        f" {boxes.cannot_tell:,} cannot tell), {images.checked:,} of {images.units:,} images"
        f" ({images.missed:,} objects missed)"
    )
    known = boxes.known + images.known
    if known:
        yield f"{known:,} of them were decided before the draw: known, and no evidence"
    if boxes.waiting + images.waiting:
        yield f"waiting for an answer: {boxes.waiting:,} boxes, {images.waiting:,} images"
    if after.removed or after.added:
        yield (
            f"once the {after.removed:,} wrong boxes found are removed and the {after.added:,} missed objects have a"
            f" box: precision at least {_share(after.precision_at_least)}, recall at least"
            f" {_share(after.recall_at_least)}"
        )
    if images.beyond_K:
        shown = ", ".join(f"{one.image} ({one.missed})" for one in images.beyond_K[:5])
        more = "" if len(images.beyond_K) <= 5 else ", ..."
        yield f"images that lack more than K = {made.K}: {len(images.beyond_K):,}: {shown}{more}"
    if images.unreadable:
        yield f"left out: {images.unreadable:,} images that cannot be read; nothing is stated of them"
    if images.stood_for:
        others = f"the other {images.stood_for:,} are left out; nothing is stated of them"
        yield f"of each group one image was drawn; {others}"
    if made.disagreements:
        yield f"people disagree about {len(made.disagreements):,} units; the stricter answer counts"
    spent, left, budget = made.minutes.spent, made.minutes.left, made.minutes.budget
    time = f"{about_minutes(spent)} of checking so far"
    if left:
        time += f", {about_minutes(left)} left"
    yield time + (f", of a budget of {budget:g}" if budget is not None else "")
    if (within := made.minutes.within_budget) is not None:
        yield _within(within)
    if made.changes:
        yield f"since the draw: {made.changes}" + ("" if made.holds else "; the certificate does not hold for the run")


def _within(within: WithinBudget) -> str:
    rest = f"the rest of the budget allows about {one_digit(within.boxes)} boxes and {one_digit(within.images)} images"
    shares = (("precision", within.precision_at_least), ("recall", within.recall_at_least))
    shown = [f"{name} at least about {value:.2f}" for name, value in shares if value is not None]
    return rest + (f"; if they are like those so far: {', '.join(shown)}" if shown else "")


def _classes(made: Certificate) -> Table:
    table = word_table("By class, each by itself", "class", "boxes", "checked", "precision", "recall", "K")
    for one in made.classes:
        cap = "" if one.K is None else str(one.K)
        table.add_row(
            Text(one.name), f"{one.boxes:,}", f"{one.checked:,}", _interval(one.precision), _interval(one.recall), cap
        )
    return table


def _cells(stated: Stated) -> Iterator[str]:
    """Yield the bounds and the estimate."""
    yield from (_share(stated.at_least), _share(stated.at_most), _share(stated.estimate))


def _interval(stated: Stated) -> str:
    """Return both bounds in one cell."""
    if stated.at_least is None or stated.at_most is None:
        return _NOT_STATED
    return f"{stated.at_least:.3f} exactly" if stated.exact else f"{stated.at_least:.3f} to {stated.at_most:.3f}"


def _wanted(stated: Stated) -> str:
    """Return the goal."""
    return "" if stated.wanted is None else f"{stated.wanted:g}"


def _to_do(stated: Stated, noun: str) -> str:
    """Describe how far a share is from its goal."""
    if stated.wanted is None:
        return ""
    if stated.certified:
        return "certified (exact)" if stated.exact else "certified"
    if stated.impossible:
        return f"no: it is at most {_percent_up(stated.at_most)}" + (" (exact)" if stated.exact else "")
    if stated.more_checks is None:
        return "probably out of reach"
    return f"about {one_digit(max(1, stated.more_checks))} more {noun}"


def _percent_up(value: float | None) -> str:
    """Return an upper bound as a percentage, rounded up."""
    return "" if value is None else percent(min(1.0, value + 0.000999))


def _share(value: float | None) -> str:
    """Return a share with three decimals, rounded down."""
    return _NOT_STATED if value is None else f"{int(value * 1000 + 1e-6) / 1000:.3f}"
