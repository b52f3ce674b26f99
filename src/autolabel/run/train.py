"""Fine-tune a labeler on images with known boxes, from a COCO file or a run's checked images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from autolabel.data.coco.read import read_coco
from autolabel.data.collect import collect
from autolabel.data.inputs import Input
from autolabel.duplicates import Groups
from autolabel.errors import DataError, ImageError
from autolabel.images import MAX_PIXELS, ValueRange, content_mark, read_pixels
from autolabel.plan import devices
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.results.checked import truth_at
from autolabel.results.seal import check_named
from autolabel.results.store import TEMPORARY, finished, publish
from autolabel.run.duplicates import group_images
from autolabel.run.model_card import TrainedOn, model_card
from autolabel.run.training_settings import Settings, checked_settings
from autolabel.run.true_masks import with_masks
from autolabel.spec.data import DataSpec
from autolabel.storage import Location
from autolabel.strategies import FineTuning
from autolabel.types import Labels

_DEV = 0.2
"""The share of the images that are kept to choose among weights."""
_FEWEST = 2
_CARD, _NOTE = "README.md", "training.json"
_THREADS = 4
_STARTS = {"grounding_dino": "tiny", "mal": "tiny-mal"}
_NO_PARAMS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How images are found and read."""

    follow_symlinks: bool = False
    """Whether links that leave the folders of images are followed."""
    value_range: ValueRange = None
    """The values that become black and white in images of more than 8 bits."""

    @classmethod
    def of(cls, plan: Plan) -> Reading:
        """Return how a run reads its images."""
        return cls(follow_symlinks=plan.manifest.follow_symlinks, value_range=plan.recipe.value_range)


_PLAIN = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The training data."""

    rows: tuple[Labels, ...]
    classes: tuple[str, ...]
    groups: Groups
    value_range: ValueRange = None
    notes: tuple[str, ...] = ()
    """What the file and the folders of images do not share."""
    left_out: tuple[str, ...] = ()
    """Images that cannot be learnt from, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The result of a training."""

    checkpoint: str
    train: int
    """Images that were learnt from."""
    dev: int
    """Images that chose among the weights."""
    figures: dict[str, Any] | None
    """How good the weights are on the latter before and after, and the gain, with 95 % intervals.

    AP at IoU 0.5 for a detector, mean IoU with the file's masks for masks; None where there is nothing to judge by. One
    image alone gives no interval.
    """
    notes: tuple[str, ...] = ()
    """What the file and the folders of images do not share."""
    left_out: tuple[str, ...] = ()
    """Images that cannot be learnt from, and why."""


def train(
    source: Location,
    *,
    images: Sequence[Location],
    start: str | None = None,
    labeler: str,
    out: Path,
    settings: Settings,
    registry: Registry,
    params: Mapping[str, Any] = _NO_PARAMS,
    reading: Reading = _PLAIN,
    device: str = "auto",
    told: Callable[[Mapping[str, Any]], None],
) -> Trained:
    """Fine-tune the checkpoint ``start`` of a labeler, by default its shipped one; the new one is ``out/checkpoint``.

    ``source`` is a COCO file, whose photos lie in the folders ``images`` or, without any, beside it; or a run, whose
    checked images count. ``params`` are the labeler's besides its checkpoint; a run's own ``reading`` counts. One
    image in five, near-duplicates together, is kept to choose among the weights. A training that was stopped goes on
    when it is started again with the same arguments. Raises DataError if nothing can be learnt from, SpecError for
    wrong settings, MachineError where the labeler does not learn, WeightsError where its weights do not fit.
    """
    start = start or _STARTS.get(labeler, "")
    learner = registry.make("labeler", labeler, {**params, "checkpoint": start} if start else params)
    task_settings = checked_settings(learner, settings)
    material = read_material(source, images, masks=learner.gives == "masks", reading=reading)
    dev = dev_part(material)
    if learner.gives == "masks":
        dev = [row for row in dev if row.instances.masks]  # without masks an image can choose nothing
    key_of = material.groups.key
    chosen = {key_of(row.image.id) for row in dev}
    rest = [row for row in material.rows if key_of(row.image.id) not in chosen]
    weights = [start, labeler, *map(content_mark, learner.files())]
    _check_same(out, _fingerprint(weights, task_settings.model_dump(mode="json"), material))
    task = FineTuning(
        train=rest,
        dev=dev,
        classes=material.classes,
        settings=task_settings,
        out=out,
        device=devices.resolve_devices([0] if device == "cuda" else device)[0],
        told=told,
        dev_groups=[key_of(row.image.id) for row in dev],
        value_range=material.value_range,
    )
    learner.fine_tune(task)
    figures = out / "figures.json"
    trained = Trained(
        checkpoint=str(out / "checkpoint"),
        train=len(rest),
        dev=len(dev),
        figures=json.loads(figures.read_text()) if figures.exists() else None,
        notes=material.notes,
        left_out=material.left_out,
    )
    trained_on = TrainedOn(
        start=start, source=str(source), rows=material.rows, classes=material.classes, train=len(rest), dev=len(dev)
    )
    card = model_card(learner, trained_on, trained.figures)
    publish(out / "checkpoint" / _CARD, [card.encode("utf-8", "replace")], name="card")
    return trained


def check_settings(labeler: str, params: Mapping[str, Any], settings: Settings, *, registry: Registry) -> None:
    """Raise SpecError for wrong settings of a labeler's training, MachineError where it does not learn."""
    checked_settings(registry.make("labeler", labeler, params), settings)


def read_material(
    source: Location, images: Sequence[Location], *, masks: bool = False, reading: Reading = _PLAIN
) -> Material:
    """Return the images of a COCO file, or the checked ones of a run, with their boxes, and a file's own masks."""
    with truth_at(source) as file:
        roots, reading = _places(source, images, reading)
        told = {"images": roots, "boxes": str(file), "follow_symlinks": reading.follow_symlinks}
        data = DataSpec.model_validate(told, context={"root": Path.cwd()})
        with_truth = masks and not source.is_dir()  # those of a run are a model's
        coco = read_coco(file, masks=with_truth)
        inputs = collect(data, max_pixels=MAX_PIXELS, threads=_THREADS, coco=coco)
        read = [_readable(row, reading) for row in inputs.rows]
        usable = [row for row in read if not row.code]
        notes = tuple(inputs.remarks())
        left_out = tuple(f"{row.image} is left out: {row.message}" for row in read if row.code)
        rows = tuple(_without_crowds(row.labels(inputs.classes)) for row in usable)
        if with_truth:
            rows = with_masks(rows, coco)
    if sum(bool(len(row.instances)) for row in rows) < _FEWEST:
        few = ": ".join([f"{source}: fewer than {_FEWEST} images with boxes to learn from", *(*notes, *left_out)[:1]])
        raise DataError(few, hint="check some images first: `autolabel review RUN`")
    files = [(row.image, row.path, row.mark) for row in usable]
    groups = group_images(files, value_range=reading.value_range)
    return Material(
        rows=rows,
        classes=inputs.classes,
        groups=groups,
        value_range=reading.value_range,
        notes=notes,
        left_out=left_out,
    )


def _readable(row: Input, reading: Reading) -> Input:
    """Return a row, failed where its image cannot be decoded: a training reads every image many times."""
    if row.code:
        return row
    try:
        read_pixels(row.path, value_range=reading.value_range)
    except ImageError as error:
        return structs.replace(row, code=error.code, message=str(error))
    return row


def _without_crowds(row: Labels) -> Labels:
    """Return a row without its crowd regions, which are no single objects."""
    single = [one.get("iscrowd") != 1 for one in row.instances.given or ()]
    return row if all(single) else replace(row, instances=row.instances.take(np.array(single)))


def dev_part(material: Material) -> list[Labels]:
    """Return the dev images, one in five, with near-duplicates together.

    Images are ordered by a hash of their names. At least one image with boxes is a dev image, and never all of them:
    if all are near-duplicates of one another, none is, because images without boxes cannot choose among weights.
    """
    key_of = material.groups.key
    with_boxes = {key_of(row.image.id) for row in material.rows if len(row.instances)}
    without = {key_of(row.image.id) for row in material.rows} - with_boxes
    chosen: set[str] = set()
    for keys, least in ((with_boxes, 1), (without, 0)):
        count = max(least, round(_DEV * len(keys)))
        chosen |= set(sorted(keys, key=_hashed)[: min(count, len(keys) - least)])
    if not chosen & with_boxes:
        return []
    return [row for row in material.rows if key_of(row.image.id) in chosen]


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _places(source: Location, images: Sequence[Location], reading: Reading) -> tuple[list[str], Reading]:
    """Return the folders of the images, and how these are read: those of a run, as the run did."""
    folders = [str(folder) for folder in images]
    if not source.is_dir():
        return folders or [str(source).rpartition("/")[0] or "."], reading
    _, plan = finished(source)
    if not folders:
        check_named(source, plan)
    return folders or list(plan.manifest.roots.values()), Reading.of(plan)


def _fingerprint(weights: Sequence[str], settings: Mapping[str, Any], material: Material) -> str:
    """Return a digest of all that a training depends on, its images and initial weights included."""
    told = [weights, settings, material.classes, material.value_range]
    for row in material.rows:
        found = row.instances
        masks = [None if mask is None else mask.as_coco() for mask in found.masks or ()]
        told.append([row.image.id, content_mark(row.image.path), found.boxes.tolist(), found.labels.tolist(), masks])
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _check_same(out: Path, fingerprint: str) -> None:
    """Raise DataError if a folder holds another training; record this one if none has begun in it."""
    out.mkdir(parents=True, exist_ok=True)
    note = out / _NOTE
    if all(one.name == _NOTE or one.name.endswith(TEMPORARY) for one in out.iterdir()):
        publish(note, [json.dumps({"fingerprint": fingerprint}).encode() + b"\n"], name="training")
        return
    if not note.exists():
        raise DataError(f"{out}: is not empty, and no training has written it", hint="choose another --out")
    if _noted(note) != fingerprint:
        told = f"{out}: holds a training on other images, from other weights, or with other settings"
        raise DataError(told, hint="choose another --out, or delete that folder")


def _noted(note: Path) -> Any:
    """Return the fingerprint of the training in a folder; None if the file is damaged."""
    try:
        return json.loads(note.read_text())["fingerprint"]
    except (ValueError, TypeError, KeyError):
        return None
