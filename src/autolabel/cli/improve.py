"""``autolabel improve``: learn from a run's checked images, label it again, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Quiet, Run
from autolabel.cli.train import settings_of, tell_nothing, tell_training
from autolabel.storage import at

if TYPE_CHECKING:
    from rich.table import Table

    from autolabel.evaluate.paired import Estimate
    from autolabel.improve.rounds import ImproveHistory, ImproveRound

_SHOWN = {"ap50": "AP at IoU 0.5", "ap": "AP", "precision": "precision", "recall": "recall", "f1": "F1"}


def improve(
    run: Run,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings of the training, such as turn=true.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The new run. Default: RUN-2, RUN-3 ... next to RUN.")
    ] = None,
    share: Annotated[
        float,
        typer.Option(
            "--hold-out",
            metavar="SHARE",
            min=0.05,
            max=0.9,
            help="The share of the checked images that both runs are measured on.",
        ),
    ] = 0.3,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.1,
            help="About how long to train, 20 steps or more. Default: as many `steps` as set, or 300.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE", help="A YAML file of settings; KEY=VALUE takes precedence."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Where to train: cpu, cuda, mps or auto.")] = "auto",
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Fine-tune the detector on a run's checked images, label all images into a new run, and compare both.

    Both are measured on checked images that were held out.
    The new run is accepted if the lower bound of the gain is above zero; otherwise the exit code is 1.
    The same command resumes a round that was stopped.
    """
    import msgspec

    from autolabel import discover
    from autolabel.executors.tuning import reuse_memory
    from autolabel.improve.improve import improve_run

    settings = settings_of(words, recipe, minutes)
    reuse_memory()
    with console.watching(quiet=quiet or json) as watch:
        history = improve_run(
            at(run),
            settings=settings,
            registry=discover(),
            share=share,
            out=out,
            device=device,
            told=tell_nothing if quiet or json else tell_training,
            watch=watch,
        )
    last = history.rounds[-1]
    console.notices(last.notes)
    if json:
        console.print_json(msgspec.to_builtins(history))
    else:
        _print(history)
    if not last.accepted:
        raise typer.Exit(1)


def _print(history: ImproveHistory) -> None:
    last = history.rounds[-1]
    after = console.nearby(last.after)
    apart = console.count_noun(len(last.held_out), "checked image")
    console.out.say(f"{apart} of {last.checked:,} held out, with {last.gain.objects:,} objects:")
    console.out.print(_table(last))
    console.out.say(last.said)
    for line in _places(last, after):
        console.out.say(line)


def _table(last: ImproveRound) -> Table:
    from autolabel.word_table import word_table

    table = word_table("", "", "before", "after", "gain")
    for name, shown in _SHOWN.items():
        pair = getattr(last.gain, name)
        table.add_row(shown, _told(pair.before), _told(pair.after), _told(pair.gain, sign="+"))
    return table


def _told(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return "-"
    if estimate.interval is None:
        return f"{estimate.value:{sign}.3f}"
    low, high = estimate.interval
    return f"{estimate.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _places(last: ImproveRound, after: str) -> Iterator[str]:
    yield f"new run: {after}"
    yield f"new weights: {console.nearby(last.checkpoint)}"
    yield f"what changed: {after}/diff/index.html"
    yield f"all rounds: {after}/improve/index.html"
    on = after if last.accepted else console.nearby(last.before)
    if last.check_next or not last.accepted:
        yield f"check next: autolabel review {quote(on)} --next doubts"
