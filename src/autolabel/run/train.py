"""Fine-tune a labeler on images with known boxes, from a COCO file or a run's checked images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autolabel.errors import DataError
from autolabel.images import content_mark
from autolabel.plan import devices
from autolabel.registry import Registry
from autolabel.results.store import TEMPORARY, publish
from autolabel.run.model_card import TrainedOn, model_card
from autolabel.run.training_material import PLAIN, ImageReading, Material, dev_part, read_material
from autolabel.run.training_settings import Settings, checked_settings
from autolabel.storage import Location
from autolabel.strategies import FineTuning

_CARD, _NOTE = "README.md", "training.json"
_STARTS = {"grounding_dino": "tiny", "mal": "tiny-mal"}
_NO_PARAMS: Mapping[str, Any] = {}


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
    reading: ImageReading = PLAIN,
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


def _fingerprint(weights: Sequence[str], settings: Mapping[str, Any], material: Material) -> str:
    """Return a digest of all that a training depends on, its images and initial weights included."""
    told: list[Any] = [weights, settings, material.classes, material.value_range]
    for row, mark in zip(material.rows, material.marks, strict=True):
        found = row.instances
        masks = [None if mask is None else mask.as_coco() for mask in found.masks or ()]
        told.append([row.image.id, mark, found.boxes.tolist(), found.labels.tolist(), masks])
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
