"""``autolabel duplicates``: which images show the same scene."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson
from autolabel.errors import DataError
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.run.label_copies import LabelledCopies

_SHOWN = 20


def duplicates(
    place: Annotated[str, typer.Argument(metavar="RUN", help="A results directory, or a folder of images.")],
    label_copies: Annotated[
        bool,
        typer.Option(
            "--label-copies", help="Give resaved and resized copies of a run's checked images the same boxes and masks."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Find images of the same scene: resaved copies, consecutive shots, overlapping tiles.

    A run keeps the groups: splits and samples keep the images of a group together.
    """
    from autolabel import discover
    from autolabel.results.ownership import PLAN
    from autolabel.run.duplicates import group_folder, group_run
    from autolabel.run.label_copies import label_copies as label_same

    folder = at(place)
    if label_copies and not (folder / PLAN).exists():
        raise DataError(f"{place}: is not a run", hint="--label-copies needs a run with checked images")
    registry = discover()
    groups = group_run(folder, registry=registry) if (folder / PLAN).exists() else group_folder(folder)
    labelled = label_same(folder, registry=registry) if label_copies else None
    if json:
        found = {"images": groups.images, "groups": [list(one) for one in groups.members]}
        console.print_json(found if labelled is None else found | {"labelled": dict(labelled.copies)})
        return
    images, number = console.count_noun(groups.images, "image"), console.count_noun(len(groups.members), "group")
    console.out.say(f"{images} in {number} of near-duplicates")
    for place_in_list, members in enumerate(groups.members[:_SHOWN], start=1):
        console.out.say(f"{place_in_list}: {', '.join(map(console.printable, members))}")
    if (more := len(groups.members) - _SHOWN) > 0:
        console.out.say(f"and {more:,} more, which --json lists")
    if labelled is not None:
        for line in _told(labelled):
            console.out.say(line)


def _told(labelled: LabelledCopies) -> Iterator[str]:
    copies = console.count_noun(len(labelled.copies), "unchecked copy", "unchecked copies")
    yield f"{copies} of checked images labelled like these, and checked"
    for copy, of in labelled.copies[:_SHOWN]:
        yield f"{console.printable(copy)}: copy of {console.printable(of)}"
    if (more := len(labelled.copies) - _SHOWN) > 0:
        yield f"and {more:,} more, which --json lists"
    if labelled.others:
        others = console.count_noun(labelled.others, "unchecked image")
        yield f"{others} of the same scenes show them otherwise, and have to be checked"
