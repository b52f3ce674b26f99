"""Run a verifier on the boxes in doubt, and store its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autolabel.errors import ImageError
from autolabel.run.anneal import Outcome, bisect_on_error
from autolabel.strategies import Verifier
from autolabel.types import Instances, Sample


def in_doubt(verifier: Verifier, found: Instances) -> npt.NDArray[np.bool_]:
    """Return which of N boxes a verifier checks."""
    low, high = np.float32(verifier.params.between[0]), np.float32(verifier.params.between[1])
    doubtful: npt.NDArray[np.bool_] = (found.scores >= low) & (found.scores <= high)
    return doubtful


def verified(verifier: Verifier, batch: Sequence[Sample]) -> list[Outcome[Instances]]:
    """Return each sample's boxes with their verdicts, or its error.

    Boxes with a verdict below ``drop_below`` are dropped, and the row notes their number.
    """
    doubts = [in_doubt(verifier, sample.instances) for sample in batch]
    asked = [replace(one, instances=one.instances.take(doubt)) for one, doubt in zip(batch, doubts, strict=True)]
    answers = bisect_on_error(verifier.verify, asked)
    return [
        _judged(verifier, sample.instances, doubt, answer)
        if isinstance(answer, ImageError) or not isinstance(answer, Exception)
        else answer
        for sample, doubt, answer in zip(batch, doubts, answers, strict=True)
    ]


def _judged(
    verifier: Verifier,
    found: Instances,
    doubt: npt.NDArray[np.bool_],
    answer: npt.NDArray[np.float32] | ImageError,
) -> Instances:
    """Return boxes with the new verdicts; they replace those of an earlier verifier."""
    if isinstance(answer, ImageError):
        return replace(found, notes=(*found.notes, f"{verifier.name}: no verdict: {answer.message}"))
    chances = np.asarray(answer, np.float64)
    if chances.shape != (int(doubt.sum()),):
        raise ValueError(f"{verifier.name}: {chances.shape} verdicts of {int(doubt.sum())} boxes")
    verdicts = list(found.verdicts or (None,) * len(found))
    for place, chance in zip(np.flatnonzero(doubt).tolist(), chances.tolist(), strict=True):
        if np.isfinite(chance):
            verdicts[place] = min(max(float(chance), 0.0), 1.0)
    out = replace(found, verdicts=tuple(verdicts) if any(one is not None for one in verdicts) else None)
    least = verifier.params.drop_below
    if least is None:
        return out
    keep = np.array([verdict is None or verdict >= least for verdict in verdicts], np.bool_)
    if keep.all():
        return out
    note = f"{verifier.name}: left out {int((~keep).sum())} of {len(keep)} boxes, whose verdict is below {least:g}"
    return replace(out.take(keep), notes=(*out.notes, note))
