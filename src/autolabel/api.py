"""The Python API for finished runs; the command line calls the same functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.registry import Registry, discover
from autolabel.storage import Location, at

if TYPE_CHECKING:
    from autolabel.data.corrections.read import Tool
    from autolabel.evaluate import Calibration, Evaluation
    from autolabel.explain.explanation import Explanation
    from autolabel.improve.rounds import ImproveHistory
    from autolabel.run.apply_review import Applied

Run = str | Location
"""A results directory, or its URL."""


def evaluate(
    run: Run,
    truth: str | Location | None = None,
    *,
    raw: bool = False,
    iou: float = 0.5,
    thresholds: str | Path | None = None,
    names: Mapping[str, str] | None = None,
) -> Evaluation:
    """Measure a run's exported labels against the truth: a COCO file, another run, or (None) its own checked images.

    ``raw`` measures the models' own boxes, without review, thresholds and filters. ``iou`` is the overlap from which a
    box counts as right. ``thresholds`` is a file of minimum scores by class. ``names`` maps class names of the truth to
    those of the run. Raises DataError if the run has no labels, or shares no image or class with the truth.
    """
    from autolabel.run.evaluate import evaluate_run

    least = None if thresholds is None else Path(thresholds)
    gt = None if truth is None else str(truth)
    return evaluate_run(at(run), gt, raw=raw, iou=iou, thresholds=least, names=names)[0]


def calibrate(
    run: Run,
    truth: str | Location | None = None,
    *,
    precision: float = 0.9,
    confidence: float = 0.95,
    iou: float = 0.5,
    out: str | Path = "thresholds.yaml",
    names: Mapping[str, str] | None = None,
) -> Calibration:
    """Choose score thresholds that guarantee a precision, from checked images or boxes; write them to ``out``.

    ``truth`` is a COCO file or another run; None stands for the certificate's checks, or without a certificate, the
    run's own checked images. ``iou`` is the overlap from which a box counts as right. Raises DataError if ``run`` is
    not a finished run, or shares no image or class with the truth.
    """
    from autolabel.run.calibrate import calibrate_run

    return calibrate_run(
        at(run),
        None if truth is None else at(truth),
        precision=precision,
        confidence=confidence,
        iou=iou,
        out=Path(out),
        names=names,
    )


def export(
    run: Run,
    name: str,
    params: Mapping[str, Any] | Sequence[str] = (),
    *,
    registry: Registry | None = None,
    thresholds: str | Path | None = None,
    checked: bool = False,
) -> list[Location]:
    """Write the labels of a finished run with one exporter; return the paths of its files.

    ``params`` are the exporter's, as a mapping or as ``key=value``. ``thresholds`` is a file of minimum scores by
    class. ``checked`` exports only images that a person has checked. Raises SpecError for wrong parameters or
    thresholds, DataError if ``run`` is not a finished run.
    """
    from autolabel.run.export import export_run

    least = None if thresholds is None else Path(thresholds)
    return export_run(at(run), name, params, registry=registry or discover(), thresholds=least, checked=checked)


def report(run: Run, *, truth: str | Location | None = None) -> Location:
    """Write a finished run's HTML report and return its path; ``truth`` is a COCO file to compare with."""
    from autolabel.run.outputs import report_run

    return report_run(at(run), truth=None if truth is None else at(truth))


def apply_review(
    run: Run,
    file: str | Location,
    *,
    registry: Registry | None = None,
    tool: Tool | None = None,
    names: Mapping[str, str] | None = None,
    partial: bool = False,
    skip_unknown: bool = False,
    dry_run: bool = False,
) -> Applied:
    """Import corrections into a run, and rewrite its exports and report; return the counts.

    ``file`` is a ``review.json``, or an export of a COCO tool, Label Studio, CVAT, LabelMe or a YOLO tool. ``tool``
    names the format, which is otherwise detected. ``names`` maps class names of the file to those of the run. Images in
    another tool's file count as completely checked unless ``partial``. ``dry_run`` changes nothing. Raises DataError
    for images or classes that the run does not have, unless ``skip_unknown``.
    """
    from autolabel.run.apply_review import apply_review as take_in

    return take_in(
        at(run),
        at(file),
        registry=registry or discover(),
        tool=tool,
        names=names,
        partial=partial,
        skip_unknown=skip_unknown,
        dry_run=dry_run,
    )


def improve(
    run: Run,
    settings: Mapping[str, Any] | None = None,
    *,
    registry: Registry | None = None,
    hold_out: float = 0.3,
    out: str | Path | None = None,
    device: str = "auto",
) -> ImproveHistory:
    """Fine-tune a run's detector on its checked images, label the run again, and compare; return all rounds.

    ``hold_out`` is the share of the checked images that are held out, near-duplicates together. Both runs are measured
    on them; ``accepted`` of the last round is True if the lower bound of the gain is above zero. ``settings`` are those
    of the training. ``out`` is the new results directory, by default RUN-2, RUN-3 ... beside ``run``. The same call
    resumes a stopped round. Raises DataError if too few images are checked, SpecError or MachineError if the detector
    cannot be trained.
    """
    from autolabel.improve.improve import improve_run

    return improve_run(
        at(run),
        settings=settings or {},
        registry=registry or discover(),
        share=hold_out,
        out=None if out is None else Path(out),
        device=device,
        told=lambda record: None,
    )


def explain(run: Run, image: str, *, registry: Registry | None = None, device: str | None = None) -> list[Explanation]:
    """Explain the origin of each box of an image; the detector is run on the image once more, on ``device``.

    ``image`` is an image id, or a suffix that only one id has. Returns one explanation per caption. Raises DataError if
    the run or the image does not exist; ImageError, MachineError or WeightsError if the detector cannot be run.
    """
    from autolabel.explain.explain import explain_run

    return explain_run(at(run), image, registry=registry or discover(), device=device)
