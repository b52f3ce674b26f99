"""Ask a referrer for words that tell each box from the others, and put them beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autolabel.errors import ImageError
from autolabel.run.anneal import Outcome, bisect_on_error
from autolabel.strategies import Referrer
from autolabel.types import Instances, Sample


def referred(referrer: Referrer, batch: Sequence[Sample]) -> list[Outcome[Instances]]:
    """Return each sample's boxes with their expressions, or the error that it caused."""
    answers = bisect_on_error(referrer.refer, batch)
    return [
        _told(referrer, sample.instances, answer)
        if isinstance(answer, ImageError) or not isinstance(answer, Exception)
        else answer
        for sample, answer in zip(batch, answers, strict=True)
    ]


def _told(referrer: Referrer, found: Instances, answer: Sequence[str | None] | ImageError) -> Instances:
    """Return boxes with expressions; without them, and a note why, if there was no answer."""
    if isinstance(answer, ImageError):
        return replace(found, notes=(*found.notes, f"{referrer.name}: no expressions: {answer.message}"))
    if len(answer) != len(found):
        raise ValueError(f"{referrer.name}: {len(answer)} expressions of {len(found)} boxes")
    missing = sum(one is None for one in answer)
    notes = (f"{referrer.name}: no expression for {missing} of {len(found)} boxes",) if missing else ()
    told = tuple(answer) if missing < len(found) else None
    return replace(found, expressions=told, notes=(*found.notes, *notes))
