"""An evaluation, or a calibration, as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autolabel.evaluate.calibration import Calibration, ClassThreshold
from autolabel.evaluate.evaluation import Evaluation
from autolabel.evaluate.intervals import Interval, RatioIntervals
from autolabel.evaluate.matching import ClassCount
from autolabel.evaluate.precision import Precision
from autolabel.results.score_curves import Bin, Chances
from autolabel.word_table import word_table

_MOST_CONFUSIONS = 10


def render_evaluation(evaluation: Evaluation) -> RenderableType:
    """Return what `autolabel evaluate` prints; names are shown literally."""
    return Group(*_parts(evaluation))


def _parts(evaluation: Evaluation) -> Iterator[RenderableType]:
    """Yield the tables that have something in them, then the notes."""
    counts = f"{evaluation.covered}, {evaluation.total.true} true objects, {evaluation.total.found} found"
    yield Text(counts)
    yield _precisions(evaluation)
    yield _classes(evaluation)
    if evaluation.rounds:
        yield _rounds(evaluation)
    if evaluation.confusions:
        yield _confusions(evaluation)
    if evaluation.overlap is not None:
        yield _overlap(evaluation)
    for note in evaluation.notes:
        yield Text(f"note: {note}")
    if evaluation.total_interval.precision or evaluation.total_interval.recall:
        yield Text("Bounds hold with 95 % confidence for images like these (bootstrap over images).")


def _precisions(evaluation: Evaluation) -> Table:
    """Return COCO's averages, a row for boxes and one for masks."""
    made = word_table("Average precision (COCO)", "", "AP", "AP50", "AP75", "small", "medium", "large", "AR100")
    for name, measured in (("boxes", evaluation.boxes), ("masks", evaluation.masks)):
        if measured is not None:
            made.add_row(name, *map(_share, _averages(measured)))
            bounds = [_span(measured.ap_interval), _span(measured.ap50_interval)]
            made.add_row(*(Text(cell, style="dim") for cell in ("  95 %", *bounds, *("",) * 5)))
    return made


def _span(interval: Interval | None) -> str:
    """Return the two bounds of an interval, a dash if there is none."""
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _averages(measured: Precision) -> tuple[float | None, ...]:
    """Return the averages in the order of the columns."""
    sizes = (measured.ap_small, measured.ap_medium, measured.ap_large)
    return (measured.ap, measured.ap50, measured.ap75, *sizes, measured.ar100)


def _classes(evaluation: Evaluation) -> Table:
    """Return a row for each class that is true or found anywhere, and one for all."""
    made = word_table(f"At the run's thresholds, IoU {evaluation.iou:g}", *_CLASS_COLUMNS)
    rows = zip(evaluation.classes, evaluation.class_intervals, evaluation.boxes.ap50_by_class, strict=True)
    for counts, interval, ap50 in rows:
        if counts.true or counts.found:
            made.add_row(*_class_cells(counts, interval), _share(ap50))
    made.add_section()
    made.add_row(*_class_cells(evaluation.total, evaluation.total_interval), _share(evaluation.boxes.ap50))
    return made


_CLASS_COLUMNS = ("class", "true", "found", "right", "precision", "recall", "F1", "AP50")


def _class_cells(counts: ClassCount, interval: RatioIntervals) -> Iterator[RenderableType]:
    """Yield the cells of a class."""
    yield Text(counts.name)
    yield from map(str, (counts.true, counts.found, counts.right))
    yield _bounded(counts.precision, interval.precision)
    yield _bounded(counts.recall, interval.recall)
    yield _share(counts.f1)


def _rounds(evaluation: Evaluation) -> Table:
    """Return what each round added."""
    made = word_table("By round", "round", "found", "right", "wrong", "recall so far")
    for one in evaluation.rounds:
        name = "given" if one.round < 0 else str(one.round)
        made.add_row(name, str(one.found), str(one.right), str(one.wrong), _share(one.recall))
    return made


def _confusions(evaluation: Evaluation) -> Table:
    """Return the most frequent mistakes of one class for another."""
    made = word_table("Taken for another class", "true", "labelled as", "times")
    for one in evaluation.confusions[:_MOST_CONFUSIONS]:
        made.add_row(Text(one.true), Text(one.found), str(one.count))
    return made


def _overlap(evaluation: Evaluation) -> Table:
    """Return the mean overlap of masks."""
    made = word_table("Masks: mean IoU", "pairs", "all", "small", "medium", "large")
    if (one := evaluation.overlap) is not None:
        made.add_row(str(one.pairs), *map(_share, (one.mean, one.small, one.medium, one.large)))
    return made


def render_calibration(result: Calibration) -> RenderableType:
    """Return what `autolabel calibrate` prints; names are shown literally."""
    title = f"Precision {result.precision:g} with {result.confidence:g} confidence"
    title += f", IoU {result.iou:g}" if result.checks == "images" else ""
    made = word_table(title, "class", "threshold", "kept", "of", "right", "of checked", "precision", "to do")
    for one in (*result.classes, result.overall):
        threshold = "-" if one.threshold is None else f"{one.threshold:.4f}"
        counts = map(str, (one.kept, one.boxes, one.right, one.checked))
        made.add_row(Text(one.name), threshold, *counts, _share(one.precision), _to_do(one))
    return Group(Text(checked(result)), made, *(Text(f"note: {note}") for note in result.notes))


def checked(result: Calibration) -> str:
    """Say what was checked."""
    if result.checks == "boxes":
        return f"{result.overall.checked} checked boxes"
    return f"{result.images} checked images"


def render_chances(chances: Chances) -> RenderableType:
    """Return what `autolabel calibrate --scores` prints: how often scores are right, before and after it."""
    facts = (
        f"{chances.right} of {chances.boxes} boxes in {chances.images} checked images are right (IoU {chances.iou:g})"
    )
    title = f"Calibration error (D-ECE): scores {chances.before.error:.3f}, calibrated {chances.after.error:.3f}"
    made = word_table(title, "from", "to", "boxes", "mean score", "right", "calibrated", "mean score", "right")
    before = {one.low: one for one in chances.before.bins}
    after = {one.low: one for one in chances.after.bins}
    for low in sorted(before.keys() | after.keys()):
        cells = [cell for bins in (before, after) for cell in _bin_cells(bins.get(low))]
        made.add_row(f"{low:g}", f"{round(low + 0.1, 1):g}", *cells)
    return Group(Text(facts), made)


def _bin_cells(one: Bin | None) -> Iterator[str]:
    """Yield the cells of a bin: how many boxes, their mean score, the share that is right."""
    yield from ("0", "-", "-") if one is None else (str(one.boxes), _share(one.score), _share(one.right))


def _to_do(one: ClassThreshold) -> str:
    """Say what keeps a class from a threshold."""
    if one.threshold is not None:
        return ""
    if not one.boxes:
        return "nothing was found of it"
    if one.more_images is None and one.more_boxes is None:
        return "no: more checks would not help"
    if one.more_images is None:
        return f"check about {one.more_boxes:,} more boxes"
    return f"check about {one.more_images:,} more images ({one.more_boxes:,} boxes)"


def _bounded(value: float | None, interval: Interval | None) -> str:
    """Return a share with its interval."""
    return _share(value) if interval is None else f"{_share(value)} ({interval[0]:.3f} to {interval[1]:.3f})"


def _share(value: float | None) -> str:
    """Return a share with three decimals, a dash where nothing was measured."""
    return "-" if value is None else f"{value:.3f}"
