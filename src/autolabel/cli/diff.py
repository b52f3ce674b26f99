"""``autolabel diff``: what changed between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson
from autolabel.storage import at

if TYPE_CHECKING:
    from rich.console import RenderableType

    from autolabel.results.change import RunChange

_SHOWN = 10


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A results directory.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another results directory, over the same images.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Compare the models' own boxes, without review, thresholds and filters.")
    ] = False,
    page: Annotated[bool, typer.Option(help="Write an HTML page into AFTER's diff folder.")] = True,
    json: AsJson = False,
) -> None:
    """Show what changed between two runs over the same images: boxes gained, lost, moved, relabelled."""
    from autolabel.run.diff import diff_runs, write_diff

    change = diff_runs(at(before), at(after), raw=raw)
    if json:
        console.print_json(change.as_dict())
    else:
        for part in _parts(change):
            console.out.print(part)
    if page:
        path = write_diff(at(before), at(after), change, raw=raw)
        (console.err if json else console.out).say(console.nearby(str(path)))


def _parts(change: RunChange) -> Iterator[RenderableType]:
    """Yield the lines and tables to print; names are shown literally."""
    from rich.text import Text

    from autolabel.results.change import KINDS
    from autolabel.word_table import word_table

    yield Text(f"{console.count_noun(change.images, 'image')} in both runs, {change.changed:,} changed")
    for count, which in ((change.only_before, "first"), (change.only_after, "second")):
        if count:
            yield Text(f"{console.count_noun(count, 'image')} only in the {which} run; their boxes are not counted")
    for (old, new), count in change.states.most_common():
        yield Text(f"{console.count_noun(count, 'image')} went from {old} to {new}")
    classes = word_table("Boxes by class", "", *KINDS)
    for name, counts in change.by_class.items():
        classes.add_row(Text(console.printable(name)), *(f"{counts[kind]:,}" for kind in KINDS))
    classes.add_row("all", *(f"{change.kinds[kind]:,}" for kind in KINDS))
    yield classes
    if change.relabelled:
        pairs = word_table("Relabelled", "was", "is", "boxes")
        for (a, b), count in change.relabelled.most_common(_SHOWN):
            pairs.add_row(Text(console.printable(a)), Text(console.printable(b)), f"{count:,}")
        yield pairs
    if change.most:
        images = word_table("Images with the most changes", "", "boxes")
        for one in change.most[:_SHOWN]:
            images.add_row(Text(console.printable(one.image)), f"{one.amount:,}")
        yield images
