"""Commands about a run: ``status``, ``export``, ``evaluate``, ``calibrate``, ``report``, ``apply-review``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Names, Run, Thresholds, class_renames
from autolabel.errors import SpecError
from autolabel.storage import at

_ToolName = Literal["review", "coco", "label_studio", "cvat", "labelme", "yolo"]
_KINDS = ("kept", "moved", "added", "removed", "reclassified", "masks changed")


class _Fitting(enum.StrEnum):
    """The method to learn the probability of being right."""

    logistic = "logistic"
    isotonic = "isotonic"


def status(run: Run, json: AsJson = False) -> None:
    """Show the progress of a run, while it runs or afterwards."""
    from autolabel.results.status import read_status

    found = read_status(at(run))
    if json:
        console.print_json(found.as_dict())
    else:
        console.print_status(found)


def export(
    run: Run,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="FORMAT KEY=VALUE", help="The exporter's name, then its parameters.")
    ] = None,
    format: Annotated[str | None, typer.Option("-f", "--format", help="The exporter's name.")] = None,
    thresholds: Thresholds = None,
    checked: Annotated[
        bool,
        typer.Option("--checked", help="Only images that a person has checked completely: ground truth to train on."),
    ] = False,
) -> None:
    """Write a finished run's labels in another format."""
    from autolabel import discover
    from autolabel.run.export import export_run

    words = list(words or [])
    if format is None:
        if not words or "=" in words[0]:
            raise SpecError(
                "no format was given", hint="autolabel export RUN coco; `autolabel plugins` lists exporters"
            )
        format = words.pop(0)
    registry = discover()
    for path in export_run(at(run), format, words, registry=registry, thresholds=thresholds, checked=checked):
        console.out.say(console.nearby(str(path)))
    loses = getattr(registry.get("exporter", format).strategy, "loses", ())
    if lost := [loss for loss in loses if loss.rpartition(" unless ")[2] not in words]:
        console.notices([f"{format} does not carry: {', '.join(lost)}"])


def evaluate(
    run: Run,
    gt: Annotated[
        str | None,
        typer.Option(
            "--gt", metavar="FILE", help="A COCO file of true boxes, or a run. Default: this run's checked images."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Measure the models' own boxes, without review, thresholds and filters.")
    ] = False,
    iou: Annotated[float, typer.Option("--iou", min=0.05, max=0.95, help="The minimum IoU of a found object.")] = 0.5,
    thresholds: Thresholds = None,
    names: Names = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Also write the report's plots, as SVG files.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Measure a run's exported labels against true boxes, with 95 % intervals."""
    from autolabel.evaluate.table import render_evaluation
    from autolabel.report.plots import write_plots
    from autolabel.run.evaluate import evaluate_run

    result, what = evaluate_run(at(run), gt, raw=raw, iou=iou, thresholds=thresholds, names=class_renames(names))
    if json:
        console.print_json({"measured": what, **result.as_dict()})
    else:
        console.out.say(f"measured: {what}")
        console.out.print(render_evaluation(result))
    for path in write_plots(result, plots) if plots is not None else ():
        console.err.say(f"wrote {console.nearby(str(path))}")


def calibrate(
    run: Run,
    gt: Annotated[
        str | None,
        typer.Option(
            "--gt",
            metavar="FILE",
            help="A COCO file with all true boxes of randomly drawn images, or a run whose checked images were drawn"
            " at random. Default: the certificate's checks or, without any, this run's checked images.",
        ),
    ] = None,
    precision: Annotated[float, typer.Option("--precision", min=0, max=1, help="The precision to guarantee.")] = 0.9,
    confidence: Annotated[
        float, typer.Option("--confidence", min=0, max=1, help="The confidence of the guarantee for each class.")
    ] = 0.95,
    iou: Annotated[float, typer.Option("--iou", min=0.05, max=0.95, help="The minimum IoU of a right box.")] = 0.5,
    names: Names = None,
    out: Annotated[Path, typer.Option("--out", help="The file to write or replace.")] = Path("thresholds.yaml"),
    scores: Annotated[
        bool, typer.Option("--scores", help="Also learn each score's probability of being right, into RUN/scores.json.")
    ] = False,
    method: Annotated[
        _Fitting, typer.Option("--method", help="With --scores: fit a smooth curve, or any increasing one.")
    ] = _Fitting.logistic,
    json: AsJson = False,
) -> None:
    """Choose score thresholds that guarantee a precision, from labels that a person has checked."""
    from autolabel.evaluate.table import render_calibration, render_chances
    from autolabel.run.calibrate import calibrate_run, learn_scores

    result = calibrate_run(
        at(run),
        None if gt is None else at(gt),
        precision=precision,
        confidence=confidence,
        iou=iou,
        out=out,
        names=class_renames(names),
    )
    learnt = (
        learn_scores(at(run), None if gt is None else at(gt), iou=iou, method=method.value, names=class_renames(names))
        if scores
        else None
    )
    if json:
        more = {} if learnt is None else {"scores": learnt[0], "scores_written": str(learnt[1])}
        console.print_json({**result.as_dict(), "written": str(out), **more})
    else:
        console.out.print(render_calibration(result))
        console.out.say(console.nearby(str(out)))
        if learnt is not None:
            console.out.print(render_chances(learnt[0]))
            console.out.say(console.nearby(str(learnt[1])))
    if not result.complete:
        raise typer.Exit(1)


def report(
    run: Run,
    gt: Annotated[
        str | None, typer.Option("--gt", metavar="FILE", help="A COCO file of true boxes to compare with.")
    ] = None,
) -> None:
    """Write a finished run's report: one HTML file to browse, and to keep or reject boxes in."""
    from autolabel.run.outputs import report_run

    console.out.say(console.nearby(str(report_run(at(run), truth=None if gt is None else at(gt)))))


def apply_review(
    run: Run,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A review.json, or a COCO, Label Studio, CVAT, LabelMe or YOLO export."),
    ],
    tool: Annotated[
        _ToolName | None,
        typer.Option("--from", metavar="TOOL", help="The tool that wrote FILE. Default: recognized by content."),
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW", help="The run's name for a class of the file; repeatable."),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Boxes that FILE lacks are not removed, and its images do not count as checked."
        ),
    ] = False,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown",
            help="Skip images and classes that the run does not have, and shapes that cannot be read.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be applied; change nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Import corrections and annotations from a review or another tool; later exports keep them."""
    from autolabel import discover
    from autolabel.run.apply_review import apply_review as take_in

    done = take_in(
        at(run),
        at(file),
        registry=discover(),
        tool=tool,
        names=class_renames(map),
        partial=partial,
        skip_unknown=skip_unknown,
        dry_run=dry_run,
    )
    if json:
        counts = {"tool": done.tool, "new": done.new, "standing": done.standing, "left_out": done.left_out}
        unknown = {"unknown_images": done.unknown_images, "unknown_classes": done.unknown_classes}
        console.print_json({**counts, "images": done.images, "counts": done.counts, **unknown, "applied": not dry_run})
        return
    console.notices([*done.notes, *(f"left out: {problem}" for problem in done.problems)])
    if done.counts or done.images:
        changed = ", ".join(f"{count} {kind}" for kind in _KINDS if (count := done.counts.get(kind)))
        console.out.say(f"{done.tool}, {console.count_noun(done.images, 'image')}: {changed or 'nothing differs'}")
    if done.left_out and done.tool == "review":
        lost = console.count_noun(done.left_out, "decision did", "decisions did")
        console.out.say(f"{lost} not match {run} and will not count there")
    if dry_run:
        console.out.say(f"{console.count_noun(done.new, 'decision')} would be applied; nothing was changed")
    else:
        console.out.say(f"{console.count_noun(done.standing, 'decision')} about {run}; its exports were rewritten")
