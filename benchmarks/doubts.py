"""Plant errors in checked labels; count how many come first by ``autolabel doubts``, the score alone, ObjectLab.

Each set is a COCO file with ``images/`` beside it; without any, the twelve photos of the repository are used. The
shipped detector labels the photos in three looks. Then 5 % of the boxes are removed, moved or given another class, a
third each (``each``: 5 % of every kind), and all three rank what the same detector found beside those labels. An error
that is pointed at twice counts once. ObjectLab is cleanlab's (Tkachenko, Thyagarajan, Mueller, 2023), in the Python
that ``--peer`` names; it is given the best of eight settings of its thresholds, chosen knowing the errors.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autolabel.doubts.doubt import LabelDoubt
from autolabel.doubts.rank import by_chance, rank
from autolabel.doubts.scene_parts import with_labelled, without_crowds
from autolabel.evaluate.matching import match_boxes
from autolabel.evaluate.scene import Objects, Scene
from autolabel.evaluate.scenes import gather_scenes
from autolabel.plan.compile import compile_plan
from autolabel.registry import discover
from autolabel.results.ledger import read_labels
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from autolabel.storage import at
from autolabel.types.boxes import iou

HERE = Path(__file__).resolve().parent
FLOOR = 0.05
FIRST = 100
IOU = 0.5
MOVE = (0.3, 0.8)
"""A moved box goes so many sides to the left or right, and up or down; sizes stay."""

Kind = Literal["removed", "moved", "renamed"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """One planted error."""

    kind: Kind
    image: int
    label: int | None
    """The place of the labelled box that is wrong; None where it was removed."""
    box: tuple[float, ...]
    """Where the object lies."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a ranking points at: a labelled box by place, or a found one."""

    image: int
    label: int | None
    box: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How many errors one way finds in a set, means over the seeds."""

    data: str
    photos: int
    boxes: int
    share: str
    errors: float
    way: str
    hits: float
    """Errors among the first FIRST."""
    early: float
    """The share of all N errors among the first N items of the ranking (R-precision)."""


def plant(
    scenes: Sequence[Scene], classes: int, share: float, *, each: bool, seed: int
) -> tuple[list[Scene], list[Error]]:
    """Return scenes with errors in ``share`` of their labelled boxes, or in so many for each kind of error."""
    random = np.random.default_rng(seed)
    kinds: tuple[Kind, ...] = ("removed", "moved", "renamed") if classes > 1 else ("removed", "moved")
    places = [(image, place) for image, scene in enumerate(scenes) for place in range(len(scene.true))]
    count = round(share * len(places)) * (len(kinds) if each else 1)
    chosen = [places[number] for number in random.permutation(len(places))[:count].tolist()]
    wrong = {place: kinds[number % len(kinds)] for number, place in enumerate(chosen)}
    out: list[Scene] = []
    errors: list[Error] = []
    for image, scene in enumerate(scenes):
        boxes, names = scene.true.boxes.copy(), scene.true.classes.copy()
        kept = [place for place in range(len(boxes)) if wrong.get((image, place)) != "removed"]
        for place in range(len(boxes)):
            kind = wrong.get((image, place))
            if kind is None:
                continue
            label = None if kind == "removed" else kept.index(place)
            errors.append(Error(kind=kind, image=image, label=label, box=tuple(boxes[place].tolist())))
            if kind == "moved":
                boxes[place] = moved(boxes[place], scene, random)
            elif kind == "renamed":
                names[place] = (names[place] + random.integers(1, classes)) % classes
        true = Objects(boxes=boxes, classes=names, masks=scene.true.masks, ids=scene.true.ids)
        out.append(with_labelled(replace(scene, true=true), np.array(kept, np.int64)))
    return out, errors


def moved(box: Floats, scene: Scene, random: np.random.Generator) -> Floats:
    """Return a box elsewhere in its image, with an overlap below IOU where fifty tries find such a place."""
    height, width = scene.size
    sides, place = box[2:] - box[:2], box
    for _ in range(50):
        corner = box[:2] + random.uniform(*MOVE, 2) * random.choice([-1, 1], 2) * sides
        corner = np.clip(corner, 0, np.maximum(np.array([width, height]) - sides, 0))
        place = np.concatenate([corner, corner + sides])
        if iou(place[None], box[None])[0, 0] < IOU:
            break
    return place


def by_doubts(scenes: Sequence[Scene], classes: Sequence[str]) -> list[Item]:
    """Rank as ``autolabel doubts --gt`` does."""
    ranked = rank(scenes, [str(number) for number in range(len(scenes))], classes)
    return [item_of(one, scenes) for one in by_chance([one for image in ranked for one in image.doubts])]


def item_of(one: LabelDoubt, scenes: Sequence[Scene]) -> Item:
    image = int(one.image)
    if one.kind == "missing":
        return Item(image, None, one.bbox)
    off = np.abs(scenes[image].true.boxes - np.array(one.bbox)).max(axis=1)
    return Item(image, one.annotation if one.annotation is not None else int(off.argmin()), one.bbox)


def by_score(scenes: Sequence[Scene]) -> list[Item]:
    """Rank by the model's score alone: found boxes that match nothing as it is high, labelled ones as it is low."""
    items: list[Item] = []
    doubt: list[float] = []
    for image, scene in enumerate(scenes):
        matched = match_boxes(scene, IOU)
        own = np.zeros(len(scene.true))
        own[matched[matched >= 0]] = scene.scores[matched >= 0]
        items += [Item(image, place, tuple(box)) for place, box in enumerate(scene.true.boxes.tolist())]
        doubt += (1 - own).tolist()
        free = np.flatnonzero(matched < 0)
        items += [Item(image, None, tuple(box)) for box in scene.found.boxes[free].tolist()]
        doubt += scene.scores[free].tolist()
    return [items[place] for place in np.argsort(-np.array(doubt), kind="stable").tolist()]


def by_objectlab(scenes: Sequence[Scene], classes: int, python: str) -> Iterator[list[Item]]:
    """Yield ObjectLab's ranking for each of its settings: all boxes together, by the lowest score that each has."""
    images = [
        {
            "labels": {"boxes": scene.true.boxes.tolist(), "classes": scene.true.classes.tolist()},
            "found": {
                "boxes": scene.found.boxes.tolist(),
                "classes": scene.found.classes.tolist(),
                "scores": scene.scores.tolist(),
            },
        }
        for scene in scenes
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.json", Path(folder) / "out.json"
        source.write_text(json.dumps({"classes": classes, "images": images}), encoding="utf-8")
        subprocess.run([python, str(HERE / "_objectlab.py"), str(source), str(target)], check=True)
        settings: Mapping[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    for scores in settings.values():
        rows: list[tuple[float, Item]] = []
        for image, scene in enumerate(scenes):
            labelled = zip(scene.true.boxes.tolist(), scores["place"][image], scores["class"][image], strict=True)
            for place, (box, *both) in enumerate(labelled):
                rows.append((min([one for one in both if one is not None] or [1.0]), Item(image, place, tuple(box))))
            for box, score in zip(scene.found.boxes.tolist(), scores["missing"][image], strict=True):
                if score is not None:
                    rows.append((score, Item(image, None, tuple(box))))
        yield [item for _, item in sorted(rows, key=lambda row: row[0])]


def found_errors(items: Sequence[Item], errors: Sequence[Error]) -> list[int]:
    """Return for each item the error that it is the first to point at, -1 where it points at none."""
    by_label = {(one.image, one.label): number for number, one in enumerate(errors) if one.label is not None}
    of_image: dict[int, list[int]] = {}
    for number, one in enumerate(errors):
        of_image.setdefault(one.image, []).append(number)
    seen: set[int] = set()
    out = []
    for item in items:
        if item.label is not None:
            hit = by_label.get((item.image, item.label), -1)
        else:
            near = of_image.get(item.image, [])
            overlap = iou(np.array([item.box]), np.array([errors[number].box for number in near]).reshape(-1, 4))[0]
            hit = near[int(overlap.argmax())] if len(near) and overlap.max() >= IOU else -1
        out.append(-1 if hit in seen else hit)
        seen.add(hit)
    return out


def counted(items: Sequence[Item], errors: Sequence[Error]) -> tuple[int, float]:
    """Return how many errors the first FIRST items point at, and which share the first as many as there are errors."""
    hits = [hit >= 0 for hit in found_errors(items, errors)]
    return sum(hits[:FIRST]), sum(hits[: len(errors)]) / max(1, len(errors))


def measure(
    name: str,
    scenes: Sequence[Scene],
    classes: Sequence[str],
    *,
    share: float,
    each: bool,
    seeds: int,
    peer: str | None,
) -> Iterator[Row]:
    """Plant errors once for each seed, and yield what every way finds of them."""
    counts: dict[str, list[tuple[int, float]]] = {}
    total = []
    for seed in range(seeds):
        wrong, errors = plant(scenes, len(classes), share, each=each, seed=seed)
        numbered = [with_numbers(scene) for scene in wrong]
        total.append(len(errors))
        counts.setdefault("`autolabel doubts`", []).append(counted(by_doubts(numbered, classes), errors))
        counts.setdefault("score alone", []).append(counted(by_score(wrong), errors))
        if peer is not None:
            best = max(counted(items, errors) for items in by_objectlab(wrong, len(classes), peer))
            counts.setdefault("ObjectLab, best setting", []).append(best)
    for way, found in counts.items():
        yield Row(
            data=name,
            photos=len(scenes),
            boxes=sum(len(scene.true) for scene in scenes),
            share=f"{share:.0%} of each kind" if each else f"{share:.0%}",
            errors=float(np.mean(total)),
            way=way,
            hits=float(np.mean([hits for hits, _ in found])),
            early=float(np.mean([early for _, early in found])),
        )


def with_numbers(scene: Scene) -> Scene:
    """Return a scene whose labelled boxes are numbered by place, so that a doubt says which it is about."""
    true = scene.true
    return replace(scene, true=replace(true, ids=tuple(range(len(true)))))


def labelled(truth: Path, images: Path, out: Path, checkpoint: str) -> tuple[list[Scene], tuple[str, ...]]:
    """Label the photos of a COCO file with the detector in three looks; a run that is there already is read."""
    classes = [one["name"] for one in json.loads(truth.read_text(encoding="utf-8"))["categories"]]
    folder = out / f"{truth.parent.name}-{truth.stem}"
    names = [one["file_name"] for one in json.loads(truth.read_text(encoding="utf-8"))["images"]]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"file_name": name, "noun_chunks": classes}) for name in sorted(set(names))]
    (folder / "photos.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = {
        "version": 1,
        "data": {"images": [str(images)], "captions": str(folder / "photos.jsonl")},
        "stages": [
            {
                "labeler": {"type": "grounding_dino", "checkpoint": checkpoint},
                "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": FLOOR}]},
                "aggregator": {"type": "nms", "threshold": 0.5},
                "ask": "all",
                "looks": ["plain", "mirror", "flip"],
            }
        ],
        "run": {"candidates": str(out / "candidates")},
        "export": [],
        "report": False,
        "results_dir": str(folder / "run"),
    }
    registry = discover()
    generate(compile_plan(spec_from_mapping(spec, root=HERE, registry=registry), registry=registry), registry=registry)
    shared = gather_scenes(read_labels(str(folder / "run")), at(truth))
    return [without_crowds(scene) for scene in shared.scenes], shared.classes


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    head = ("set", "photos", "boxes", "planted", "errors", "ranking", f"errors among the first {FIRST}", "R-precision")
    lines = [
        (
            one.data,
            str(one.photos),
            f"{one.boxes:,}",
            one.share,
            f"{one.errors:.0f}",
            one.way,
            f"**{one.hits:.1f}**" if one.way.startswith("`") else f"{one.hits:.1f}",
            f"{one.early:.0%}",
        )
        for one in rows
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines))


def peer_python(asked: str | None) -> str | None:
    """Return the Python that has cleanlab, None where there is none."""
    python = asked or sys.executable
    there = subprocess.run([python, "-c", "import cleanlab.object_detection"], capture_output=True, check=False)
    if there.returncode and asked:
        raise SystemExit(f"{python} has no cleanlab: pip install cleanlab")
    return None if there.returncode else python


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truths", nargs="*", type=Path, help="COCO files with images/ beside them")
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("runs/doubts"), help="where the photos' labels are kept")
    parser.add_argument("--peer", help="a Python that has cleanlab; without it, this one if it has")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    example = HERE.parent / "examples" / "bccd" / "boxes.json"
    peer = peer_python(given.peer)
    if peer is None:
        print("cleanlab is not installed: ObjectLab is left out", file=sys.stderr)
    rows: list[Row] = []
    for truth in given.truths or [example]:
        scenes, classes = labelled(
            truth.resolve(), truth.resolve().parent / "images", given.out.resolve(), given.checkpoint
        )
        name = f"{truth.resolve().parent.name} {truth.stem}"
        for each in (False, True):
            rows += measure(name, scenes, classes, share=given.share, each=each, seeds=given.seeds, peer=peer)
    print(table(rows))


if __name__ == "__main__":
    main()
