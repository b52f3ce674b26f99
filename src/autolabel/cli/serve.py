"""``autolabel serve``: a spec behind HTTP."""

from __future__ import annotations

import os
from secrets import token_urlsafe
from typing import Annotated

import typer

from autolabel.cli import console
from autolabel.cli.label import _spec_and_overrides
from autolabel.cli.options import SpecOption, Words

TOKEN = "AUTOLABEL_TOKEN"


def serve(
    words: Words = None,
    spec: SpecOption = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes one that is free.")] = 9090,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", help=f"What requests must show; by default ${TOKEN}, or one that is drawn and printed."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Where models run: cpu, cuda:0, mps.")] = None,
    max_mb: Annotated[int, typer.Option("--max-mb", min=1, help="Megabytes of a request: more are refused, 413.")] = 64,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Requests that are worked on at a time: more are refused, 429.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds until a request is given up: 503.")
    ] = 90.0,
) -> None:
    """Label images that are sent over HTTP, as a run of the spec would; SPEC may be the folder of a run."""
    from autolabel.executors.tuning import tune_process
    from autolabel.predict import open_predictor
    from autolabel.serve import Limits, Serving
    from autolabel.serve import serve as run

    given = token or os.environ.get(TOKEN)
    limits = Limits(body=max_mb << 20, queue=queue, seconds=timeout)
    serving = Serving(token=given or token_urlsafe(24), host=host, port=port, limits=limits)
    source, overrides = _spec_and_overrides(words, spec)
    with open_predictor(source, overrides=overrides, device=device) as predictor:
        console.notices(predictor.plan.notices)
        tune_process(predictor.plan.execution.threads)
        run(predictor, serving, started=lambda address: _started(address, None if given else serving.token))


def _started(address: str, drawn: str | None) -> None:
    """Tell the address, and the token that was drawn."""
    console.out.say(f"serving at {address}")
    if drawn is not None:
        console.out.say(f"token: {drawn}")
    console.err.say("Ctrl-C ends it; requests that are worked on are answered first")
