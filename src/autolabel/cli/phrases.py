"""``autolabel phrases``: compare the phrases of a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.label import _load
from autolabel.cli.options import AsJson, SpecOption, Words
from autolabel.errors import SpecError

if TYPE_CHECKING:
    from autolabel.phrases.compare import Suggest
    from autolabel.phrases.comparison import ClassComparison, PhraseComparison, Wording

_Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        envvar="AUTOLABEL_LLM_ENDPOINT",
        help="An OpenAI-compatible server that suggests more phrases.",
    ),
]
_Model = Annotated[
    str | None, typer.Option("--model", envvar="AUTOLABEL_LLM_MODEL", help="The model's name, for --endpoint.")
]
_KeyEnv = Annotated[
    str | None,
    typer.Option("--key-env", metavar="NAME", help="The environment variable that holds the key, for --endpoint."),
]

_SHOWN = 15
"""The most phrases of a class in the table."""


def phrases(
    words: Words = None,
    spec: SpecOption = None,
    gt: Annotated[
        str | None,
        typer.Option("--gt", metavar="FILE|RUN", help="A COCO file of true boxes, or a run with checked images."),
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Only this class; repeatable.")
    ] = None,
    tried: Annotated[
        list[str] | None,
        typer.Option(
            "--try", metavar="CLASS=PHRASE", help="A phrase to compare; with --class, PHRASE alone; repeatable."
        ),
    ] = None,
    built_in: Annotated[
        bool, typer.Option("--built-in/--no-built-in", help="Compare built-in synonyms and forms too.")
    ] = True,
    endpoint: _Endpoint = None,
    model: _Model = None,
    key_env: _KeyEnv = None,
    iou: Annotated[float, typer.Option("--iou", min=0.05, max=0.95, help="The minimum IoU of a right box.")] = 0.5,
    floor: Annotated[
        float | None,
        typer.Option(
            "--floor",
            min=0,
            max=1,
            help="The minimum score of candidates. Default: 0.05, or the spec's lowest threshold if that is lower.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the classes: block to this file, replacing it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare phrases for a class on checked images; changes neither spec nor run."""
    from autolabel import compile_plan
    from autolabel.phrases.compare import PhrasesToCompare, compare_phrases

    if gt is None:
        raise SpecError("phrases need checked images to be compared on", hint="autolabel phrases SPEC --gt FILE|RUN")
    loaded, registry = _load(words, spec)
    wanted = PhrasesToCompare(
        classes=tuple(classes or ()),
        tried=_by_class(tried or (), classes or ()),
        built_in=built_in,
        suggest=_suggesting(endpoint, model, key_env),
        iou=iou,
        floor=floor,
    )
    compiled = compile_plan(loaded, registry=registry)
    _hand_out(compare_phrases(loaded, compiled, gt, wanted=wanted, registry=registry), out, json=json)


def _hand_out(told: PhraseComparison, out: Path | None, *, json: bool) -> None:
    """Write the classes: block to ``out`` if that is named, and print the comparison."""
    from autolabel.results.store import publish

    if out is not None:
        publish(out, [told.block.encode()], name="phrases")
    if json:
        console.print_json(told)
        return
    _print_comparison(told)
    console.out.say(console.nearby(str(out)) if out is not None else told.block.rstrip())


def _suggesting(endpoint: str | None, model: str | None, key_env: str | None) -> Suggest | None:
    """Return the function that asks a language model for phrases; None if no endpoint is named."""
    if endpoint is None:
        return None
    if model is None:
        raise SpecError("--endpoint needs --model", hint="the model's name, as the server knows it")
    from autolabel.phrases.suggest import PhraseModel

    return PhraseModel.at(endpoint, model, key_env=key_env).suggest


def _by_class(pairs: Sequence[str], classes: Sequence[str]) -> dict[str, list[str]]:
    """Return the tried phrases of each class; raises SpecError if a phrase names no class."""
    tried: dict[str, list[str]] = {}
    for pair in pairs:
        name, sign, phrase = pair.partition("=")
        if not sign and len(classes) == 1:
            name, phrase = classes[0], pair
        if not name.strip() or not phrase.strip():
            hint = "--try 'CLASS=PHRASE', or --class CLASS --try PHRASE"
            raise SpecError(f"--try {pair}: names no class", hint=hint)
        tried.setdefault(name.strip(), []).append(" ".join(phrase.split()))
    return tried


def _print_comparison(told: PhraseComparison) -> None:
    """Print the figures of each phrase, class by class."""
    passes = told.passes.get("forward_passes")
    cost = "" if passes is None else f", {console.count_noun(passes, 'forward pass', 'forward passes')}"
    images = console.count_noun(told.images, "checked image")
    console.out.say(f"{images}, {console.count_noun(told.phrases, 'phrase')} asked together{cost}; IoU {told.iou:g}")
    if told.failed:
        console.notices([f"{console.count_noun(told.failed, 'checked image')} could not be asked about"])
    console.notices(told.notes)
    for one in told.classes:
        console.out.say("")
        _print_class(one)
    console.out.say("")


def _print_class(told: ClassComparison) -> None:
    """Print the phrases of one class, and the recommendation."""
    have = f"{told.true} true in {console.count_noun(told.images, 'image')}"
    console.out.say(f"{console.printable(told.name)}: {have}")
    if not told.true:
        console.out.say("  nothing can be compared: no checked image holds one")
        return
    numbers = ("AP", "best F1", "threshold", "false alarms", "in empty images")
    made = console.number_table("phrases", "from", "AP", "against current", *numbers[1:], numbers=numbers)
    for place, one in _listed(told):
        made.add_row(*_cells(one, winner=place == told.winner))
    console.show(made)
    for line in _verdict(told):
        console.out.say(f"  {line}")


def _listed(told: ClassComparison) -> Iterator[tuple[int, Wording]]:
    """Yield the phrases to list with their ranks: the best ones, the current one and the winner."""
    for place, one in enumerate(told.wordings):
        if place < _SHOWN or one.today or place == told.winner:
            yield place, one


def _cells(one: Wording, *, winner: bool) -> Iterator[str]:
    """Yield the cells of one phrase."""
    yield console.printable(" + ".join(one.phrases)) + (" <- best" if winner else "")
    yield "current" if one.today else one.origin or "several"
    yield f"{one.ap:.3f}"
    yield "-" if one.against_today is None else "{:+.3f} to {:+.3f}".format(*one.against_today)
    yield f"{one.f1:.3f}"
    yield "-" if one.threshold is None else f"{one.threshold:.3f}"
    yield str(one.false_alarms)
    yield str(one.alarms_in_empty)


def _verdict(told: ClassComparison) -> Iterator[str]:
    """Yield sentences on the winner of a class."""
    best = told.wordings[told.winner]
    if best.today:
        yield "no phrase is better than the current ones"
        return
    named = console.printable(" + ".join(best.phrases))
    if told.penalty is None:
        yield f"{named} is best here, but too few images hold the class to rule out chance: keep the current phrases"
        return
    gain = best.ap - told.today.ap
    yield (
        f"{named}: AP {best.ap:.3f}, of which {told.penalty:.3f} is selection bias (by nested cross-validation);"
        f" it also wins on {told.stable or 0:.0%} of other samples of the images"
    )
    if (then := told.confirmed) is not None:
        yield f"asked together with the spec's other classes: AP {then.ap:.3f}, now {then.today:.3f}"
    if told.better:
        yield f"better than the current phrases: by {gain:.3f}, or {gain - told.penalty:.3f} without that bias"
    else:
        yield f"not shown to be better than the current phrases ({gain:+.3f}): keep those"
