"""Measure a finished run against a truth file, another run's checked images, or its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autolabel.errors import SpecError
from autolabel.evaluate import Evaluation, evaluate
from autolabel.results.checked import truth_at
from autolabel.results.ledger import read_labels
from autolabel.results.select import measured
from autolabel.storage import Location, at, resolved


def evaluate_run(
    run: Location,
    truth: str | None,
    *,
    raw: bool = False,
    iou: float = 0.5,
    thresholds: Path | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[Evaluation, str]:
    """Return the measurement and, in words, what was measured.

    Measures the exported labels, or with ``raw`` the models' own. ``truth`` is a COCO file, or a run whose checked
    images are used; None stands for ``run`` itself. In that case decisions are the truth, and are not applied to the
    measured labels.
    """
    if raw and thresholds is not None:
        raise SpecError("--raw measures the models' own boxes, whatever their score: it excludes --thresholds")
    own = truth is None or (at(truth).is_dir() and resolved(at(truth)) == resolved(run))
    if run.is_file():
        labels, what = read_labels(run), "the labels of the file"
    else:
        labels, what = measured(run, raw=raw, reviewed=not own, thresholds=thresholds)
    with truth_at(run if truth is None else truth) as file:
        return evaluate(labels, file, iou=iou, names=names), what
