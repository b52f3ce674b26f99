"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autolabel.errors import SpecError

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="SPEC KEY=VALUE", help="The spec (unless -e names it), then overrides such as devices=cpu."),
]
SpecOption = Annotated[str | None, typer.Option("-e", "--spec", metavar="SPEC", help="The spec file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        "--thresholds", help="A file with the minimum score of each class; replaces the thresholds of the run's spec."
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A results directory, or its URL.")]
Extend = Annotated[
    bool,
    typer.Option(
        "--extend",
        help="Update the run for images that were added, removed, renamed or changed; others keep their labels.",
    ),
]

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="CLASS=CLASS", help="A class of the truth file, and its name in the run; repeatable."
    ),
]


def class_renames(pairs: list[str] | None) -> dict[str, str]:
    """Return the mapping of classes from truth file to run; raises SpecError if a pair is not CLASS=CLASS."""
    names: dict[str, str] = {}
    for pair in pairs or ():
        own, sign, other = pair.partition("=")
        if not sign or not own.strip() or not other.strip():
            raise SpecError(f"--map {pair}: expected CLASS=CLASS, the file's class first")
        names[own.strip()] = other.strip()
    return names
