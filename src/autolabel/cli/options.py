"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="SPEC KEY=VALUE", help="The spec (unless -e names it), then overrides such as devices=cpu."),
]
SpecOption = Annotated[str | None, typer.Option("-e", "--spec", metavar="SPEC", help="The spec file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Thresholds = Annotated[
    Path | None,
    typer.Option("--thresholds", help="A file of least scores by class, in place of those of the run's spec."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A results directory, or its URL.")]
Extend = Annotated[bool, typer.Option("--extend", help="Take in images added since; keep what is labelled.")]
