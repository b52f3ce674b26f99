"""``autolabel duplicates``: which images show the same scene."""

from __future__ import annotations

from typing import Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson
from autolabel.storage import at

_SHOWN = 20


def duplicates(
    place: Annotated[str, typer.Argument(metavar="RUN", help="A results directory, or a folder of images.")],
    json: AsJson = False,
) -> None:
    """Find images that show the same scene: resaved copies, shots in a row, tiles that overlap.

    A run keeps the groups: splits and samples keep the images of a group together.
    """
    from autolabel import discover
    from autolabel.results.ownership import PLAN
    from autolabel.run.duplicates import group_folder, group_run

    folder = at(place)
    groups = group_run(folder, registry=discover()) if (folder / PLAN).exists() else group_folder(folder)
    if json:
        console.print_json({"images": groups.images, "groups": [list(one) for one in groups.members]})
        return
    images, number = console.count_noun(groups.images, "image"), console.count_noun(len(groups.members), "group")
    console.out.say(f"{images} in {number} of near-duplicates")
    for place_in_list, members in enumerate(groups.members[:_SHOWN], start=1):
        console.out.say(f"{place_in_list}: {', '.join(map(console.printable, members))}")
    if (more := len(groups.members) - _SHOWN) > 0:
        console.out.say(f"and {more:,} more, which --json lists")
