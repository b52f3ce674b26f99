"""Choose score thresholds for a finished run, and write them where a spec or an export can name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from autolabel.evaluate.calibration import Calibration, calibrate
from autolabel.results.ledger import checked_ledger
from autolabel.results.select import changed
from autolabel.results.store import finished, publish
from autolabel.storage import Location, resolved


def calibrate_run(
    run: Location,
    truth: Location,
    *,
    precision: float,
    confidence: float,
    iou: float,
    out: Path,
    names: Mapping[str, str] | None = None,
) -> Calibration:
    """Choose thresholds for what a run exports, boxes outside its size limits left out, and write them to ``out``.

    Raises DataError where ``run`` is not a finished run or the two share nothing.
    """
    store, plan = finished(run)
    limited = partial(changed, limits=plan.outputs.filter, thresholds=None, review=None)
    labels = checked_ledger(store, plan, change=limited)
    result = calibrate(
        labels, truth, classes=plan.manifest.classes, precision=precision, confidence=confidence, iou=iou, names=names
    )
    title = f"of run {resolved(run).name} (plan {plan.digest[:16]}), from {truth.name}"
    publish(out, [line.encode() + b"\n" for line in lines(result, title)], name="thresholds")
    return result


def lines(result: Calibration, title: str) -> Iterator[str]:
    """Yield a thresholds file: a line for each class that was found, a comment where nothing can be promised."""
    yield f"# score thresholds {one_line(title)}: {result.images} checked images, IoU {result.iou:g}"
    yield f"# of the boxes kept, {result.precision:g} or more are right; confidence {result.confidence:g} a class"
    if not result.thresholds:
        yield "{}"
    for one in result.classes:
        if one.threshold is not None:
            yield f"{quoted(one.name)}: {one.threshold}"
        elif one.boxes:
            yield f"# {quoted(one.name)}: no threshold can be promised, all of it is kept"


def quoted(name: str) -> str:
    """Return a text as YAML in double quotes, whatever is in it."""
    return '"' + "".join(character if plain(character) else escaped(character) for character in name) + '"'


def one_line(text: str) -> str:
    """Return a text for a comment: without what could end the line."""
    return "".join(character if character.isprintable() else "?" for character in text)


def plain(character: str) -> bool:
    """Return whether a character may stand in double quotes as it is."""
    return character.isprintable() and character not in '"\\'


def escaped(character: str) -> str:
    """Return a character as one of YAML's escapes."""
    return f"\\U{ord(character):08x}" if not character.isascii() or not character.isprintable() else f"\\{character}"
