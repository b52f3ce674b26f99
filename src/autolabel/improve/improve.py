"""One round: hold images out, learn from the others, label again, and compare."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from autolabel.certify.opening import begun, open_certificate
from autolabel.doubts.find import compare
from autolabel.duplicates import Groups
from autolabel.errors import DataError
from autolabel.evaluate.paired import RunGain, measure_gain
from autolabel.improve.holdout import LEAST_TO_TELL, hold_out
from autolabel.improve.page import write_page
from autolabel.improve.relabel import carry_decisions, learning_stage, with_weights
from autolabel.improve.rounds import (
    FOLDER,
    ImproveHistory,
    ImproveRound,
    RoundRequest,
    read_history,
    read_request,
    write_history,
    write_request,
)
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.results.checked import truth_at
from autolabel.results.journal import read_decisions
from autolabel.results.review import Review, is_checked
from autolabel.results.seal import check_named
from autolabel.results.select import measured
from autolabel.results.store import TEMPORARY, RunStore, finished, publish
from autolabel.run.diff import diff_runs, write_diff
from autolabel.run.duplicates import find_groups
from autolabel.run.generate import generate
from autolabel.run.train import check_settings, train
from autolabel.run.training_material import ImageReading
from autolabel.run.training_settings import Settings, plain_settings
from autolabel.run.worker import Watch
from autolabel.storage import Location, at

_LOCK = ".improve.lock"
_LEARN, _TRUTH, _TRAINING = "checked-images.json", "held-out.json", "training"
_NUMBERED = re.compile(r"(.+)-(\d+)")
_NEXT = 10
"""Number of images to check next that are listed."""


def improve_run(
    run: Location,
    *,
    settings: Settings,
    registry: Registry,
    share: float = 0.3,
    out: Path | None = None,
    device: str = "auto",
    told: Callable[[Mapping[str, Any]], None],
    watch: Watch | None = None,
) -> ImproveHistory:
    """Improve a run with its checked images; return all rounds, this one last.

    About ``share`` of the checked images are held out, near-duplicates together. The run's detector is fine-tuned on
    the others, with ``settings`` of its training. The new weights label the run again in ``out``, by default a folder
    beside it, and the decisions about it are copied. A round that was stopped is resumed; a finished round, after which
    nothing more was checked, is returned unchanged. Raises DataError if too little is checked, or ``out`` holds
    something else; MachineError or SpecError if the detector cannot be trained.
    """
    if not isinstance(run, Path):
        raise DataError(f"{run}: only a run in a local folder can be improved", hint="copy it here first")
    store, plan = finished(run)
    check_named(run, plan)
    stage = learning_stage(plan, registry)
    check_settings(stage.labeler.type, stage.labeler.params, settings, registry=registry)
    asked = {"settings": plain_settings(settings), "share": share}
    truth = _checked(run)
    place = _place(run, out, asked, _sum_of(truth))
    begun_here = read_request(place) if place.is_dir() else None
    fresh = _request(store, plan, truth, asked) if begun_here is None else begun_here
    place.mkdir(parents=True, exist_ok=True)
    with RunStore(place).lock(_LOCK):
        request = read_request(place) or _begin(place, fresh, truth)
        if request.plan != plan.digest:
            raise DataError(f"{run}: its labels have changed since this round began", hint=f"delete {place}")
        if (done := _until(read_history(place), place)).rounds:
            return done
        folder = place / FOLDER
        trained = train(
            folder / _LEARN,
            images=[at(root) for root in plan.manifest.roots.values()],
            start=stage.labeler.params["checkpoint"],
            labeler=stage.labeler.type,
            params=stage.labeler.params,
            reading=ImageReading.of(plan),
            out=folder / _TRAINING,
            settings=settings,
            registry=registry,
            device=device,
            told=told,
        )
        compiled = with_weights(store, plan, str(Path(trained.checkpoint).resolve()), out=place, registry=registry)
        generate(compiled, registry=registry, watch=watch)
        carry_decisions(store, place, name=f"improve {request.truth[:16]}", registry=registry)
        notes = (*trained.left_out, *_notes(plan))
        made = _judge(run, place, request, trained.checkpoint, notes)
        others = tuple(one for one in read_history(run).rounds if one.after != made.after)
        for where, rounds in (
            (run, (*others, made)),
            (place, (*request.earlier, made)),
        ):  # that of ``place`` says: done
            write_page(where / FOLDER, ImproveHistory(rounds=rounds))
            write_history(where, ImproveHistory(rounds=rounds))
    return read_history(place)


def _until(history: ImproveHistory, place: Path) -> ImproveHistory:
    """Return the rounds up to the one that made a run."""
    ends = [number for number, one in enumerate(history.rounds, 1) if one.after == str(place.resolve())]
    return ImproveHistory(rounds=history.rounds[: ends[-1]] if ends else ())


def _checked(run: Path) -> dict[str, Any]:
    """Return the completely checked images of a run as COCO; raises DataError if there are none."""
    with truth_at(run) as file:
        content: dict[str, Any] = json.loads(file.read_bytes())
    return content


def _sum_of(truth: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(truth)).hexdigest()


def _place(run: Path, out: Path | None, asked: Mapping[str, Any], truth: str) -> Path:
    """Return the folder of a round: ``out``, or the first free folder NAME-2, NAME-3 ... beside the run.

    A folder with the same round is used if that is unfinished, or if nothing more was checked since.
    """
    if out is not None:
        if _is_free(out) or _is_same(out, run, asked, truth):
            return out
        raise DataError(f"{out}: contains something other than this round", hint="choose another --out, or delete it")
    places = _beside(run)
    return next(place for place in places if _is_free(place) or _is_same(place, run, asked, truth))


def _beside(run: Path) -> Iterator[Path]:
    """Yield NAME-2, NAME-3 ...; after a run that a round has made, which ends in its number, from that on."""
    name, number = run.resolve().name, 1
    numbered = _NUMBERED.fullmatch(name)
    if numbered and read_request(run) is not None:
        name, number = numbered[1], int(numbered[2])
    place = run if run.name == run.resolve().name else run.resolve()
    while True:
        number += 1
        yield place.with_name(f"{name}-{number}")


def _is_free(place: Path) -> bool:
    """Return whether a folder is empty except for files of a round that was stopped before it began."""
    if not place.exists():
        return True
    if not place.is_dir() or not {one.name for one in place.iterdir()} <= {_LOCK, FOLDER}:
        return False
    left = [one.name for one in (place / FOLDER).iterdir()] if (place / FOLDER).is_dir() else []
    return all(name in (_LEARN, _TRUTH) or name.endswith(TEMPORARY) for name in left)


def _is_same(place: Path, run: Path, asked: Mapping[str, Any], truth: str) -> bool:
    request = read_request(place) if place.is_dir() else None
    if request is None or request.before != str(run.resolve()) or request.asked != asked:
        return False
    return request.truth == truth or not _until(read_history(place), place).rounds


def _request(store: RunStore, plan: Plan, truth: dict[str, Any], asked: Mapping[str, Any]) -> RoundRequest:
    """Choose the held-out images; raises DataError if too little is checked."""
    run = Path(str(store.root)).resolve()
    earlier = read_history(run).rounds
    images = [one["file_name"] for one in truth["images"]]
    groups = find_groups(store, plan, images)
    names = {one["id"]: one["file_name"] for one in truth["images"]}
    once = {image for one in earlier for image in one.held_out}
    chosen = hold_out(
        images,
        with_boxes={names[one["image_id"]] for one in truth["annotations"]},
        groups=groups,
        share=float(asked["share"]),
        seed=int(asked["settings"].get("seed", 0)),
        earlier=once,
        trained_on={image for one in earlier for image in one.trained_on},
        drawn=_drawn(run),
    )
    review = read_decisions(store)
    return RoundRequest(
        before=str(run),
        plan=plan.digest,
        asked=dict(asked),
        truth=_sum_of(truth),
        checked=len(images),
        decisions=0 if review is None else len(review.decisions),
        trained_on=tuple(image for image in images if image not in chosen | once),
        held_out=tuple(image for image in images if image in chosen),
        groups=groups.members,
        earlier=earlier,
    )


def _begin(place: Path, request: RoundRequest, truth: dict[str, Any]) -> RoundRequest:
    """Record the input of a round."""
    for left in (place / FOLDER).glob(f"*{TEMPORARY}"):
        left.unlink()
    for name, some in ((_LEARN, request.trained_on), (_TRUTH, request.held_out)):
        publish(place / FOLDER / name, [msgspec.json.encode(_part(truth, set(some)))], name="improve")
    write_request(place, request)
    return request


def _part(truth: Mapping[str, Any], images: set[str]) -> dict[str, Any]:
    kept = [one for one in truth["images"] if one["file_name"] in images]
    numbers = {one["id"] for one in kept}
    boxes = [one for one in truth["annotations"] if one["image_id"] in numbers]
    return {"images": kept, "annotations": boxes, "categories": truth["categories"]}


def _drawn(run: Path) -> set[str]:
    """Return the images that were drawn for the run's certificate and answered."""
    if not begun(RunStore(run)):
        return set()
    with open_certificate(run) as found:
        session = found.session
        if session is None:
            return set()
        checks = session.checks
        known = {unit for one in checks.image_rounds for unit in one.known}
        return {checks.units.rows[unit].image for unit in checks.images if unit not in known}


def _judge(run: Path, place: Path, request: RoundRequest, checkpoint: str, notes: tuple[str, ...]) -> ImproveRound:
    """Measure both runs on the held-out images, and write the differences."""
    before, after = (measured(one, reviewed=False)[0] for one in (run, place))
    gain = measure_gain(before, after, place / FOLDER / _TRUTH, group_of=Groups(request.groups).key)
    write_diff(run, place, diff_runs(run, place))
    accepted, said = verdict(gain)
    return ImproveRound(
        before=request.before,
        after=str(place.resolve()),
        checkpoint=str(Path(checkpoint).resolve()),
        checked=request.checked,
        decisions=request.decisions,
        trained_on=request.trained_on,
        held_out=request.held_out,
        gain=gain,
        accepted=accepted,
        said=said,
        check_next=_check_next(place),
        notes=notes,
    )


def verdict(gain: RunGain) -> tuple[bool, str]:
    """Return whether a gain is accepted (its lower bound is above zero), and the reason."""
    change = gain.ap50.gain
    if change.value is None or change.interval is None:
        return False, "not accepted: nothing could be measured on the images held out"
    low, high = change.interval
    figure = f"AP at IoU 0.5 went from {gain.ap50.before.value:.3f} to {gain.ap50.after.value:.3f}: {change.value:+.3f}"
    figure = f"{figure} [{low:+.3f}, {high:+.3f}]"
    if gain.groups < LEAST_TO_TELL:
        scenes = f"{gain.groups} image{'s' if gain.groups != 1 else ''} held out"
        return False, f"not accepted: {figure}, but {scenes} are too few to tell: {LEAST_TO_TELL} or more are needed"
    if low > 0:
        return True, f"accepted: {figure}; the lower bound is above zero"
    if high < 0:
        return False, f"not accepted: {figure}; the new labels are worse"
    return False, f"not accepted: {figure}; the lower bound is not above zero, so this may be chance"


def _check_next(run: Path) -> tuple[str, ...]:
    """Return the unchecked images that most likely have an error."""
    store, plan = finished(run)
    review = read_decisions(store) or Review(plan=plan.digest)
    checked = {row.image.id for row in measured(run, raw=True)[0] if is_checked(row, review)}
    doubtful = compare(store, plan, None, near_duplicates=False).images
    return tuple(one.image for one in doubtful if one.image not in checked)[:_NEXT]


def _notes(plan: Plan) -> Iterator[str]:
    if plan.recipe.ontology:
        yield "the new run asks for classes by their names, not by the phrases that stood for them before"
    if plan.outputs.thresholds:
        yield "output.thresholds were chosen for the scores of the old weights: `autolabel calibrate` chooses new ones"
