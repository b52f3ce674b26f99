"""``autolabel explain``: how the boxes of one image came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Run
from autolabel.errors import DataError
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.explain.explanation import BoxOrigin, Candidate, Explanation, Unfound
    from autolabel.types.instances import Support

_AGREES = 0.05
"""Pixels by which a derived box may differ unreported: batches and threads change a model's output so much."""
_RESCORED, _ROUNDING = 1e-3, 1e-3
_SHOWN = 5


def explain(
    run: Run,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image's name, or a unique end of it.")],
    box: Annotated[int | None, typer.Option("--box", min=0, help="Only this box, counted from 0.")] = None,
    caption: Annotated[int | None, typer.Option("--caption", min=0, help="Only this caption, counted from 0.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Where the detector runs: cpu, cuda:0, mps.")] = None,
    json: AsJson = False,
) -> None:
    """Explain the origin of each box of an image, and why a phrase has none; runs the detector once more."""
    from autolabel.explain.explain import explain_run
    from autolabel.registry import discover

    explanations = explain_run(at(run), image, registry=discover(), device=device)
    rows = [one for one in explanations if caption is None or one.caption_index == caption]
    if not rows:
        raise DataError(
            f"{explanations[0].image} has no caption {caption}", hint=f"it has {len(explanations)}, counted from 0"
        )
    if box is not None and all(box >= len(one.boxes) for one in rows):
        raise DataError(f"{rows[0].image} has no box {box}", hint=f"it has {len(rows[0].boxes)}, counted from 0")
    if json:
        console.print_json([_chosen(one, box) for one in rows])
        return
    for one in rows:
        for line in lines(one, box):
            console.out.say(line)


def _chosen(explanation: Explanation, box: int | None) -> dict[str, object]:
    """Return an explanation as plain JSON, with one box or all."""
    values = explanation.as_dict()
    if box is not None:
        values |= {"boxes": values["boxes"][box : box + 1], "unfound": []}
    return values


def lines(explanation: Explanation, box: int | None) -> Iterator[str]:
    """Yield an explanation as lines of text."""
    named = console.printable(explanation.image)
    boxes = console.count_noun(len(explanation.boxes), "box", "boxes")
    yield f"{named}: {explanation.width}x{explanation.height}, {explanation.state}, {boxes}"
    if explanation.caption is not None:
        yield f"  caption {explanation.caption_index}: {console.printable(explanation.caption)}"
    yield f"  asked for: {console.printable(', '.join(explanation.phrases)) or 'nothing'}"
    if explanation.reason is not None:
        yield f"  failed: {console.printable(explanation.reason)}"
    elif explanation.labeler is not None:
        yield f"  searched once more with {explanation.labeler}: {_agreement(explanation)}"
    if explanation.looks:
        yield f"  seen in {console.count_noun(len(explanation.looks), 'look')}: {', '.join(explanation.looks)}"
    for one in explanation.boxes[slice(None) if box is None else slice(box, box + 1)]:
        yield ""
        yield from _box_lines(one, explanation)
    if box is None and explanation.unfound:
        yield ""
        yield from map(_unfound_line, explanation.unfound)


def _agreement(explanation: Explanation) -> str:
    """Say how well the boxes of the new search agree with the labels."""
    lost = sum(one.off == float("inf") for one in explanation.boxes)
    if lost:
        share = f"{lost} of {len(explanation.boxes)} boxes"
        return f"{share} are not reproduced: have weights, versions or the image changed?"
    if not explanation.boxes:
        return "no box, as in the labels"
    return "every box is reproduced" + (
        f", at most {explanation.off:.2g} px off" if explanation.off >= _ROUNDING else ""
    )


def _box_lines(one: BoxOrigin, explanation: Explanation) -> Iterator[str]:
    """Yield the lines about one box."""
    yield f"box {one.index}: {_described(one)}"
    if one.given is not None or one.threshold is None:
        number = (one.given or {}).get("id")
        yield "  given by the input" + (f": annotation {number}" if number is not None else "")
    else:
        yield f"  round {one.round}, where a score had to be above {one.threshold:g}"
    if one.support is not None:
        yield f"  seen in {one.support.looks} of {console.count_noun(one.support.asked, 'look')}{_by(one.support)}"
    if one.expression is not None:
        yield f"  referring expression: {console.printable(one.expression)}"
    if one.verified is not None:
        yield f"  a verifier gives its label a probability of {one.verified:.3f}"
    if one.sources:
        yield from _source_lines(one, explanation)
    if one.displaced:
        yield f"  kept by {explanation.aggregator} in place of {console.count_noun(len(one.displaced), 'candidate')}:"
        yield from _listed(one.displaced)
    if one.mask is not None:
        files = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in one.mask.weights.items())
        yield f"  mask by {one.mask.labeler}" + (f" with {files}" if files else "")
    if one.verdict is not None:
        yield f"  reviewed: {one.verdict}"
    if one.off > _AGREES:
        yield "  not reproduced" if one.derived is None else f"  reproduced {one.off:.2g} px off"


def _by(support: Support) -> str:
    """Say by how many labelers a box was seen, if by more than one."""
    return f", by {support.labelers} labelers" if support.labelers > 1 else ""


def _source_lines(one: BoxOrigin, explanation: Explanation) -> Iterator[str]:
    """Yield the lines about the candidates of a box."""
    own = next((source for source in one.sources if _in_place(source, one, explanation)), None)
    others = [source for source in one.sources if source is not own]
    if own is None:
        yield f"  merged by {explanation.aggregator} from {console.count_noun(len(one.sources), 'candidate')}:"
        yield from _listed(one.sources)
    elif abs(own.score - one.score) > _RESCORED:
        changed = "the looks" if one.support is not None else explanation.aggregator
        yield f"  where the detector put it; {changed} changed its score from {own.score:.3f}"
        yield from _listed(others, "because of ")
    else:
        yield "  as the detector gave it" + (f"; {explanation.aggregator} kept it because of:" if others else "")
        yield from _listed(others)


def _in_place(source: Candidate, one: BoxOrigin, explanation: Explanation) -> bool:
    """Return whether a box lies where one of its sources does, cut at the image's edges."""
    limits = (explanation.width, explanation.height) * 2
    cut = [min(max(value, 0), limit) for value, limit in zip(source.bbox, limits, strict=True)]
    return source.phrase == one.phrase and all(abs(a - b) < _RESCORED for a, b in zip(cut, one.bbox, strict=True))


def _listed(found: Sequence[Candidate], why: str = "") -> Iterator[str]:
    """Yield the first candidates, a line each."""
    for one in found[:_SHOWN]:
        entered = "" if one.round is None else f", round {one.round}"
        entered += "" if one.look is None else f", {one.look}"
        yield f"    {why}{_described(one)}{entered}"
    if len(found) > _SHOWN:
        yield f"    and {len(found) - _SHOWN} more"


def _described(one: BoxOrigin | Candidate) -> str:
    """Return a phrase, its score and its box, and the phrase that was asked if it is another."""
    place = " ".join(f"{value:.1f}" for value in one.bbox)
    asked = f" (asked as {console.printable(one.asked)})" if one.asked is not None else ""
    return f"{console.printable(one.phrase)}{asked} {one.score:.3f} at {place}"


def _unfound_line(one: Unfound) -> str:
    """Say why a phrase has no box."""
    name = console.printable(one.phrase)
    if one.best is None:
        return f"no {name}: the detector has no candidate for it"
    best = f"no {name}: the best candidate scores {one.best.score:.3f} at " + " ".join(
        f"{v:.1f}" for v in one.best.bbox
    )
    if one.best.round is None:
        return f"{best}; the lowest threshold is {one.threshold:g}"
    if one.displaced_by is None:
        return f"{best}, enough for round {one.best.round}, but the aggregator dropped it"
    return f"{best}, enough for round {one.best.round}, but box {one.displaced_by} took its place"
