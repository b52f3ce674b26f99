"""Choose score thresholds for a finished run, or calibrate its scores, and write the result for exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from autolabel.certify.opening import begun, open_certificate
from autolabel.errors import DataError
from autolabel.evaluate.calibration import Calibration, calibrate
from autolabel.evaluate.certified_thresholds import calibrate_drawn
from autolabel.evaluate.probability import learn
from autolabel.evaluate.table import checked
from autolabel.plan.model import Plan
from autolabel.results.checked import any_checked, truth_at
from autolabel.results.ledger import checked_ledger
from autolabel.results.score_curves import Chances, Method, curves_file
from autolabel.results.select import changed
from autolabel.results.store import RunStore, finished, publish
from autolabel.storage import Location, resolved


def calibrate_run(
    run: Location,
    truth: Location | None,
    *,
    precision: float,
    confidence: float,
    iou: float,
    out: Path,
    names: Mapping[str, str] | None = None,
) -> Calibration:
    """Choose thresholds for a run's exports, without boxes outside its size limits, and write them to ``out``.

    ``truth`` is a COCO file, or a run whose checked images are used. Without it, the boxes drawn and checked for the
    run's certificate are used, or its own checked images. Raises DataError if ``run`` is not a finished run, if the two
    share nothing, or if nothing was checked.
    """
    store, plan = finished(run)
    if truth is None and (begun(store) or not any_checked(store)):
        return _from_certificate(run, store, plan, precision=precision, confidence=confidence, out=out)
    limited = partial(changed, limits=plan.outputs.filter, thresholds=None, review=None)
    labels = checked_ledger(store, plan, change=limited)
    classes = plan.manifest.classes
    with truth_at(run if truth is None else truth) as file:
        result = calibrate(
            labels, file, classes=classes, precision=precision, confidence=confidence, iou=iou, names=names
        )
    _write(result, f"of run {resolved(run).name} (plan {plan.digest[:16]}), from {file.name}", out)
    return result


def _from_certificate(
    run: Location, store: RunStore, plan: Plan, *, precision: float, confidence: float, out: Path
) -> Calibration:
    if not begun(store):
        hint = "`autolabel certify` draws boxes, `autolabel review --sample NAME` images to check; or give --gt FILE"
        raise DataError(f"{run}: no box was checked", hint=hint)
    with open_certificate(run) as found:
        checks = found.at_work().checks
        result = calibrate_drawn(checks, classes=plan.manifest.classes, precision=precision, confidence=confidence)
    _write(result, f"of run {resolved(run).name} (plan {plan.digest[:16]}), from its certificate's checks", out)
    return result


def _write(result: Calibration, title: str, out: Path) -> None:
    publish(out, [line.encode() + b"\n" for line in _lines(result, title)], name="thresholds")


def learn_scores(
    run: Location, truth: Location | None, *, iou: float, method: Method, names: Mapping[str, str] | None = None
) -> tuple[Chances, Location]:
    """Calibrate a run's scores and write the result into the run; return it with its path.

    ``truth`` is as for ``calibrate_run``, but a certificate's boxes are not used: images must be completely checked.
    Raises DataError if ``run`` is not a finished run, or the two share nothing.
    """
    store, plan = finished(run)
    limited = partial(changed, limits=plan.outputs.filter, thresholds=None, review=None)
    labels = checked_ledger(store, plan, change=limited)
    with truth_at(run if truth is None else truth) as file:
        chances = learn(labels, file, plan=plan.digest, iou=iou, method=method, names=names)
    publish(curves_file(store), [msgspec.json.format(msgspec.json.encode(chances), indent=1), b"\n"], name="scores")
    return chances, curves_file(store)


def _lines(result: Calibration, title: str) -> Iterator[str]:
    """Yield the lines of a thresholds file: one per class, as a comment for classes without a guarantee."""
    overlap = f", IoU {result.iou:g}" if result.checks == "images" else ""
    yield f"# score thresholds {_one_line(title)}: {checked(result)}{overlap}"
    yield f"# of the boxes kept, {result.precision:g} or more are right; confidence {result.confidence:g} a class"
    if result.overall.threshold is not None:
        yield f"# one threshold for all classes together would be {result.overall.threshold}"
    if not result.thresholds:
        yield "{}"
    for one in result.classes:
        if one.threshold is not None:
            yield f"{quoted(one.name)}: {one.threshold}"
        elif one.boxes:
            yield f"# {quoted(one.name)}: no threshold can be promised, all of it is kept"


def quoted(name: str) -> str:
    """Return a text as a double-quoted YAML scalar."""
    return '"' + "".join(character if _plain(character) else _escaped(character) for character in name) + '"'


def _one_line(text: str) -> str:
    """Return a text without line breaks, for a comment."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _plain(character: str) -> bool:
    """Return whether a character needs no escape in double quotes."""
    return character.isprintable() and character not in '"\\'


def _escaped(character: str) -> str:
    """Return a character as a YAML escape sequence."""
    return f"\\U{ord(character):08x}" if not character.isascii() or not character.isprintable() else f"\\{character}"
