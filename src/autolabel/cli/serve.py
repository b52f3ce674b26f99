"""``autolabel serve``: predictions of a spec over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.label import _spec_and_overrides
from autolabel.cli.options import SpecOption, Words
from autolabel.errors import SpecError
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.predict import Predictor
    from autolabel.serve import Serving
    from autolabel.serve.label_studio import Decisions

_TOKEN, _KEY = "AUTOLABEL_TOKEN", "LABEL_STUDIO_API_KEY"

_Megabytes = Annotated[
    int, typer.Option("--max-mb", min=1, help="The largest request in megabytes; larger ones get status 413.")
]
_Requests = Annotated[
    int,
    typer.Option("--queue", min=1, help="The maximum number of simultaneous requests; further ones get status 429."),
]
_Seconds = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds until a request fails with status 503.")]


def serve(
    words: Words = None,
    spec: SpecOption = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0: any free port.")] = 9090,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", help=f"The token that requests must carry. Default: ${_TOKEN}, or a random one that is printed."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Apply annotations that Label Studio sends to this run."),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(
            "--root", metavar="DIR", help="Another folder of Label Studio's images, besides those of the spec."
        ),
    ] = None,
    label_studio: Annotated[
        str | None,
        typer.Option("--label-studio", metavar="URL", help=f"Fetch images from this Label Studio, with ${_KEY}."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="The device for the models: cpu, cuda:0, mps.")] = None,
    max_mb: _Megabytes = 64,
    queue: _Requests = 64,
    timeout: _Seconds = 90.0,
) -> None:
    """Label images over HTTP, with the same labels as a run of the spec; SPEC may be a results directory."""
    from secrets import token_urlsafe

    from autolabel.executors.tuning import tune_process
    from autolabel.plan.machine import cores
    from autolabel.predict import open_predictor
    from autolabel.registry import discover
    from autolabel.serve import RequestLimits, Serving
    from autolabel.serve.label_studio import Decisions

    tune_process(cores())  # before torch is imported; each device's thread then takes the plan's count
    given = token or os.environ.get(_TOKEN)
    serving = Serving(
        token=given or token_urlsafe(24),
        host=host,
        port=port,
        limits=RequestLimits(body=max_mb << 20, queue=queue, seconds=timeout),
        folders=[_folder(one) for one in root or ()],
        label_studio=label_studio,
        label_studio_token=os.environ.get(_KEY),
    )
    decisions = None if run is None else Decisions(at(run), registry=discover())
    source, overrides = _spec_and_overrides(words, spec)
    with open_predictor(source, overrides=overrides, device=device) as predictor:
        console.notices(predictor.plan.notices)
        taken = _answer(predictor, serving, decisions, drawn=None if given else serving.token)
    if decisions is not None:
        console.out.say(f"{console.count_noun(taken, 'decision')} applied to {run}")


def _answer(predictor: Predictor, serving: Serving, decisions: Decisions | None, *, drawn: str | None) -> int:
    """Answer requests until interrupted, and return how many decisions were applied to the run."""
    from autolabel.serve import serve as serve_predictor

    taken = 0
    try:
        serve_predictor(predictor, serving, decisions=decisions, started=lambda address: _started(address, drawn=drawn))
    finally:
        if decisions is not None:
            taken = decisions.close()
    return taken


def _folder(text: str) -> str:
    """Return an existing folder; raises SpecError if it does not exist."""
    if not Path(text).is_dir():
        raise SpecError(f"--root: no such folder: {text}")
    return str(Path(text).absolute())


def _started(address: str, *, drawn: str | None) -> None:
    """Print the address, and the token if it was drawn."""
    console.out.say(f"serving at {address}")
    if drawn is not None:
        console.out.say(f"token: {drawn}")
    console.err.say("Ctrl-C ends it, after requests in progress are answered")
