"""``autolabel doubts``: likely label errors."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Names, Run, class_renames
from autolabel.storage import at

if TYPE_CHECKING:
    from rich.console import RenderableType

    from autolabel.doubts.doubt import Doubts, LabelDoubt

_SHOWN = 20


def doubts(
    run: Run,
    gt: Annotated[
        str | None,
        typer.Option(
            "--gt",
            metavar="FILE",
            help="Labels to check against RUN: a COCO file, or a run with checked images. Default: RUN's own labels.",
        ),
    ] = None,
    names: Names = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many boxes and images --json lists.")] = 1000,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates/--no-near-duplicates", help="Read all images, and compare the labels of near-duplicates."
        ),
    ] = True,
    json: AsJson = False,
) -> None:
    """Rank boxes and images by how likely they are label errors, the likeliest first."""
    import msgspec

    from autolabel.doubts.find import find_doubts

    found = find_doubts(at(run), gt, most=most, names=class_renames(names), near_duplicates=near_duplicates)
    if json:
        console.print_json(msgspec.to_builtins(found))
        return
    console.notices(found.notes)
    for part in _parts(found):
        console.out.print(part)
    reviewed = f"autolabel review {quote(run)} --next doubts" + (f" --gt {quote(str(gt))}" if gt is not None else "")
    console.out.say(f"to look at them: {reviewed}")


def _parts(found: Doubts) -> Iterator[RenderableType]:
    """Yield the tables to print; names are shown literally."""
    from rich.text import Text

    from autolabel.doubts.doubt import KINDS
    from autolabel.word_table import word_table

    compared = console.count_noun(found.boxes_compared, "box", "boxes")
    yield Text(f"{compared} in {console.count_noun(found.images_compared, 'image')} compared")
    boxes = word_table("Likeliest errors", "image", "class", "chance", "evidence")
    for one in found.boxes[:_SHOWN]:
        name, phrase = console.printable(one.image), console.printable(one.phrase)
        boxes.add_row(Text(name), Text(phrase), f"{one.chance:.2f}", Text(KINDS[one.kind] + _seen(one)))
    yield boxes
    images = word_table(
        "Images likeliest to have an error", "image", "chance", "boxes", "near-duplicate with other labels"
    )
    for image in found.images[:_SHOWN]:
        twin = "" if image.twin is None else f"{console.printable(image.twin)}: {image.differs} boxes differ"
        images.add_row(Text(console.printable(image.image)), f"{image.chance:.2f}", f"{image.boxes:,}", Text(twin))
    yield images


def _seen(one: LabelDoubt) -> str:
    """Return the evidence against a label, in words."""
    if one.seen is None:
        return ""
    score = "" if one.seen.score is None else f" {one.seen.score:.2f}"
    return f": {console.printable(one.seen.phrase)}{score}"
