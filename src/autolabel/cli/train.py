"""``autolabel train``: fine-tune a labeler's weights on checked images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Quiet
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.run.train import Trained
    from autolabel.spec.node import Node


def train(
    data: Annotated[
        str, typer.Argument(metavar="COCO|RUN", help="A COCO file with boxes, or a run, whose checked images count.")
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings of the training, such as turn=true.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            "--images", metavar="DIR", help="The folder of the file's images. Default: the file's own folder."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            help="The weights to start from: a name, file or folder. Default: tiny, or tiny-mal.",
        ),
    ] = None,
    labeler: Annotated[
        str,
        typer.Option("--labeler", metavar="NAME", help="What is trained: grounding_dino, or mal for masks from boxes."),
    ] = "grounding_dino",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")] = Path("trained"),
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0.1, help="About how long to train, 20 steps or more. Default: as many `steps` as set."
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE", help="A YAML file of settings; KEY=VALUE takes precedence."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, mps or auto.")] = "auto",
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Fine-tune weights on images whose boxes are known, and write a checkpoint that a spec can name.

    The same command resumes a training that was stopped.
    """
    from autolabel import discover
    from autolabel.run.train import train as fine_tune

    settings = settings_of(words, recipe, minutes)
    trained = fine_tune(
        at(data),
        images=[] if images is None else [at(images)],
        start=start,
        labeler=labeler,
        out=out,
        settings=settings,
        registry=discover(),
        device=device,
        told=tell_nothing if quiet or json else tell_training,
    )
    console.notices([*trained.notes, *trained.left_out])
    if json:
        console.print_json(asdict(trained))
    else:
        for line in _summary(trained):
            console.out.say(line)


def settings_of(words: list[str] | None, recipe: Path | None, minutes: float | None) -> Node:
    """Return what is set for a training: by a recipe, before that by KEY=VALUE, before that by an option."""
    from autolabel.run.training_settings import read_settings

    return read_settings(recipe, [*(words or ()), *([] if minutes is None else [f"minutes={minutes}"])])


def tell_nothing(record: Mapping[str, Any]) -> None:
    """Print nothing."""


def tell_training(record: Mapping[str, Any]) -> None:
    """Show how a training goes on."""
    if record["event"] == "course":
        images = f"{console.count_noun(record['train'], 'image')} to learn from, {record['dev']:,} to choose by"
        console.err.say(f"{images}, {console.count_noun(record['steps'], 'step')}")
    elif record["event"] == "resumed":
        console.err.say(f"resumed after step {record['step']}")
    elif record["event"] == "dev":
        name, values = ("mean IoU", record["iou"]) if "iou" in record else ("AP at IoU 0.5", record["ap50"])
        console.err.say(f"step {record['step']}: {name} {values['mean']:.3f}")
    elif record["event"] == "step":
        console.err.say(f"step {record['step']}: loss {record['loss']:.3f}")


def _summary(trained: Trained) -> list[str]:
    lines = [console.nearby(trained.checkpoint)]
    if trained.figures is None:
        lines.append("there was nothing to choose weights by: the last ones are kept, unmeasured")
    else:
        before, after, gain = (trained.figures[key] for key in ("before", "after", "gain"))
        interval = "" if gain["interval"] is None else " [{:+.3f}, {:+.3f}]".format(*gain["interval"])
        images = console.count_noun(trained.figures["images"], "image")
        where = f"{trained.figures['metric']} on the {images} that chose the weights"
        lines.append(
            f"{where}: {before['mean']['value']:.3f} before, {after['mean']['value']:.3f} after; "
            f"gain {gain['value']:+.3f}{interval}"
        )
        if trained.figures["step"] == 0:
            lines.append("no step improved it: the weights are unchanged")
    return lines
