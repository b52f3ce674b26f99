"""``autolabel review``: a page to correct a run's labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autolabel.cli import console
from autolabel.cli.options import Run
from autolabel.errors import SpecError
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.review.app import PageMode
    from autolabel.review.certify import CertificateDesk
    from autolabel.review.session import ReviewSession

_NextName = Literal["certificate", "errors", "mixed", "doubts"]
_OrderName = Literal["least", "most", "disagreement", "boxes", "name", "random"]
_ShowName = Literal["all", "unchecked", "undecided", "checked", "left_out", "labelled", "empty"]

_Truth = Annotated[
    str | None, typer.Option("--gt", metavar="FILE", help="With --next doubts: the COCO file whose labels to check.")
]
_PrecisionGoal = Annotated[
    float | None, typer.Option("--precision", min=0, max=1, help="With --next: the precision to reach [0.9].")
]
_RecallGoal = Annotated[
    float | None, typer.Option("--recall", min=0, max=1, help="With --next: the recall to reach [0.8].")
]
_Minutes = Annotated[
    float | None, typer.Option("--budget", min=0, metavar="MINUTES", help="With --next: the time available.")
]


def review(
    run: Run,
    reviewer: Annotated[
        str | None, typer.Option("--reviewer", metavar="NAME", help="Your name; stored with each decision.")
    ] = None,
    order: Annotated[_OrderName, typer.Option("--order", help="Which images come first.")] = "least",
    show: Annotated[_ShowName, typer.Option("--show", help="Which images are listed.")] = "all",
    phrase: Annotated[str, typer.Option("--class", metavar="NAME", help="Only images with a box of this class.")] = "",
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="FILE", help="Only the images in FILE, in that order: one name per line."),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="NAME", help="Only a random sample; the same name gives the same images."),
    ] = None,
    size: Annotated[int, typer.Option("--size", min=1, help="The number of images in a sample.")] = 200,
    what: Annotated[
        _NextName | None,
        typer.Option(
            "--next",
            help="What to check: a certificate's sample, likely errors, errors and then a certificate, or all images,"
            " the most doubtful first.",
        ),
    ] = None,
    gt: _Truth = None,
    precision: _PrecisionGoal = None,
    recall: _RecallGoal = None,
    budget: _Minutes = None,
    model: Annotated[
        bool, typer.Option("--model/--no-model", help="Make masks for boxes that are moved or drawn.")
    ] = True,
    device: Annotated[str | None, typer.Option("--device", help="The device for masks: cpu, cuda:0, mps.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0: any free port.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Correct a run's labels in the browser: keep, reject, move, draw or rename boxes, check whole images."""
    from autolabel.registry import discover
    from autolabel.review.order import Query
    from autolabel.review.serve import serve
    from autolabel.review.start import hand_out, open_session

    _check_options(images=images, sample=sample, gt=gt, what=what)
    registry = discover()
    session = open_session(at(run), registry=registry, reviewer=reviewer, model=model, device=device, phrase=phrase)
    _limit(session, images=images, sample=sample, size=size)
    modes, desk = _modes(session, what, gt=gt, precision=precision, recall=recall, budget=budget)
    limited = session.images is not None
    query = Query(order="list" if limited and order == "least" else order, show=show, phrase=phrase)
    try:
        serve(session, port=port, modes=modes, query=query, started=lambda address: _opened(address, browser=browser))
    finally:
        made = desk.close()
        standing = hand_out(session, registry=registry)
    console.out.say(f"{console.count_noun(standing, 'decision')} about {run}; its exports are up to date")
    if made is not None:
        console.out.say(made.sentence)


def _check_options(*, images: Path | None, sample: str | None, gt: str | None, what: _NextName | None) -> None:
    """Raise SpecError for options that exclude or need each other."""
    if images is not None and sample is not None:
        raise SpecError("--images and --sample exclude each other")
    if gt is not None and what != "doubts":
        raise SpecError("--gt needs --next doubts: it names the labels to check")


def _limit(session: ReviewSession, *, images: Path | None, sample: str | None, size: int) -> None:
    """Limit the review to the images of a file, or to a random sample, if one is named."""
    from autolabel.review.start import limit_to_images, limit_to_sample, read_names

    if images is not None:
        limit_to_images(session, read_names(images), file=str(images))
    if sample is not None:
        limit_to_sample(session, sample, size)


def _modes(
    session: ReviewSession,
    what: _NextName | None,
    *,
    gt: str | None,
    precision: float | None,
    recall: float | None,
    budget: float | None,
) -> tuple[list[PageMode], CertificateDesk]:
    """Return the page's modes in order, and the certificate's mode; limit the review if errors come first."""
    from autolabel.certify.drawing import CertificateRequest
    from autolabel.certify.goals import Goals
    from autolabel.review.app import CORRECT
    from autolabel.review.certify import CertificateDesk, certify_mode
    from autolabel.review.doubtful import ReviewGoal, limit_to_doubts, limit_to_likely

    desk = CertificateDesk(session, CertificateRequest(precision=precision, recall=recall, budget=budget))
    certify = certify_mode(desk)
    if what in ("errors", "mixed"):
        if precision is None and recall is None:
            precision, recall = Goals().precision, Goals().recall
        wanted = ReviewGoal(precision=precision, recall=recall, budget=budget, certified=what == "mixed")
        for line in limit_to_likely(session, wanted):
            console.err.say(line)
    if what == "doubts":
        for line in limit_to_doubts(session, gt):
            console.err.say(line)
    return ([certify, CORRECT] if what == "certificate" else [CORRECT, certify]), desk


def _opened(address: str, *, browser: bool) -> None:
    """Print the address, and open it."""
    console.out.say(f"review at {address}")
    console.err.say("Ctrl-C ends it; a decision is on disk as soon as the page shows it as saved")
    if browser:
        import webbrowser

        webbrowser.open(address)
