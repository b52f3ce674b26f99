"""Photos a second of a whole machine without a GPU: ``generate`` with each executor, beside transformers' own model."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
EXAMPLES = ROOT / "examples" / "bccd" / "images"
CELLS = ("red blood cell", "white blood cell", "platelet")
MODELS = ("tiny", "tiny-12mp", "swin-t")
OVERLAP, SCORE = 0.99, 1e-3
"""How near boxes of the two sides have to be to count as equal."""
_PLAN = re.compile(rb'"plan":"[^"]*"')
_WARM = 4
"""The first rows, 1 of so many, belong to the start."""


@dataclass(frozen=True)
class Case:
    """A checkpoint with photos for it."""

    name: str
    checkpoint: str
    classes: tuple[str, ...]
    photos: Path
    threshold: float
    batch_size: int
    shard_size: int

    def spec(self, out: Path, run: dict[str, Any]) -> dict[str, Any]:
        """Return a spec for the photos with further settings of ``run``."""
        rounds = {"type": "step", "rounds": 1, "start": self.threshold, "end": self.threshold}
        return {
            "version": 1,
            "data": {"images": [str(self.photos)], "classes": list(self.classes)},
            "stages": [
                {"labeler": {"type": "grounding_dino", "checkpoint": self.checkpoint}, "scheduler": rounds},
            ],
            "devices": "cpu",
            "run": {"batch_size": self.batch_size, "shard_size": self.shard_size, **run},
            "export": [{"type": "odvg"}],
            "results_dir": str(out),
        }


@dataclass(frozen=True)
class Measured:
    """What a way of labelling took."""

    rate: float
    """Photos a second once all workers run."""
    wall: float
    """Seconds of the whole command."""
    cpu: float | None
    """CPU seconds of the whole command; None for processes of a Ray cluster, which are not its children."""


def ways(cores: int) -> dict[str, dict[str, Any]]:
    """Return settings of ``run`` by the name of a way; slices are two commands at the same time."""
    found: dict[str, dict[str, Any]] = {
        "one process, 1 thread": {"executor": "inline", "threads": 1},
        f"one process, {cores} threads": {"executor": "inline", "threads": cores},
        f"one worker, {cores} threads": {"executor": "processes", "workers_per_device": 1, "threads": cores},
        f"{cores} workers, 1 thread each": {"executor": "processes", "workers_per_device": cores, "threads": 1},
        f"{cores} slices, 1 thread each": {"executor": "inline", "threads": 1},
    }
    if find_spec("ray"):
        ray = {"address": "local", "workers": cores}
        found[f"Ray, {cores} actors, 1 thread each"] = {"executor": "ray", "threads": 1, "ray": ray}
    return found | {"nothing said": {}}


def main(models: Sequence[str], *, photos: int = 64, large: int = 12, size: str = "480x800") -> None:
    """Print, for each model, the rates of all ways and of transformers, and whether the labels are equal."""
    with tempfile.TemporaryDirectory() as name:
        found = {}
        for model in models:
            if model == "swin-t":
                case = swin(Path(name), large, size)
            else:
                case = cells(Path(name), photos) if model == "tiny" else cells(Path(name), photos // 2, megapixels=12)
            found[model] = compare(case, Path(name) / f"{model}-runs")
            shutil.rmtree(case.photos)
    load = os.getloadavg()[0]
    print(json.dumps({"benchmark": "throughput", "cores": _cores(), "load": load, "models": found}))


def cells(folder: Path, count: int, *, megapixels: float = 0) -> Case:
    """Copy example photos for the shipped checkpoint, enlarged if ``megapixels`` are given."""
    from benchmarks.decoding import enlarged

    name = f"tiny-{megapixels:g}mp" if megapixels else "tiny"
    files = sorted(EXAMPLES.iterdir())
    (folder / name).mkdir()
    for index, file in enumerate(files):
        first = folder / name / f"{index:04d}.jpg"
        if megapixels:
            enlarged(file, first, megapixels)
        else:
            shutil.copyfile(file, first)
    for index in range(len(files), count):
        os.link(folder / name / f"{index % len(files):04d}.jpg", folder / name / f"{index:04d}.jpg")
    for index in range(count, len(files)):
        (folder / name / f"{index:04d}.jpg").unlink()
    return Case(name, "tiny", CELLS, folder / name, threshold=0.3, batch_size=4, shard_size=8)


def swin(folder: Path, count: int, size: str) -> Case:
    """Make a Grounding DINO with a Swin-T of random weights, and photos for it."""
    from benchmarks.boxes import CLASSES, size_of, swin_t
    from benchmarks.boxes import photos as draw

    height, width = size_of(size)
    checkpoint = swin_t(folder / "swin-t", (height, width))
    draw(folder / "drawn", count, (height, width))
    return Case("swin-t", str(checkpoint), CLASSES, folder / "drawn", threshold=0.05, batch_size=1, shard_size=2)


def compare(case: Case, out: Path) -> dict[str, Any]:
    """Measure all ways by turns; print and return their rates."""
    cores, count = _cores(), sum(1 for _ in case.photos.iterdir())
    print(f"{case.name}, {count} photos, {cores} cores, batches of {case.batch_size}, shards of {case.shard_size}:")
    print(f"  {'':34} {'photos/s':>9} {'wall s':>8} {'CPU s':>8}")
    out.mkdir()
    rates, stock = {}, out / "stock.pickle"
    rates["transformers"] = _said("transformers, torch's own threads", _peer(case, stock), count)
    bytes_of: dict[str, bytes] = {}
    for name, run in ways(cores).items():
        place = out / name.replace(" ", "-").replace(",", "")
        parts = cores if "slices" in name else 1
        rates[name] = _said(name, _ours(case.spec(place, run), place, parts=parts), count)
        bytes_of[name] = _PLAN.sub(b'"plan":""', (place / "labels.jsonl").read_bytes())
    alone = [name for name in bytes_of if "1 thread" in name]
    same = len({hashlib.sha256(bytes_of[name]).digest() for name in alone}) == 1
    print(f"  {', '.join(alone)}: {'equal bytes' if same else 'DIFFERENT BYTES'}")
    near = {name: _near(bytes_of[name], stock, case) for name in (alone[0], "nothing said")}
    for name, (boxes, share) in near.items():
        print(f"  {name}: {share:.2%} of {boxes} boxes of either side equal transformers'")
    return {"rates": rates, "equal": same, "near": {name: share for name, (_, share) in near.items()}}


def _said(name: str, taken: Measured, count: int) -> dict[str, float | None]:
    cpu = f"{taken.cpu:8.1f}" if taken.cpu is not None else f"{'-':>8}"
    print(f"  {name:34} {taken.rate:9.2f} {taken.wall:8.1f} {cpu}", flush=True)
    return {"rate": taken.rate, "wall": taken.wall, "cpu": taken.cpu, "photos": count}


def _ours(spec: dict[str, Any], place: Path, *, parts: int) -> Measured:
    """Run a spec as the command line does, in slices at the same time if there are several parts."""
    asked = [("label", spec, f"{part + 1}/{parts}" if parts > 1 else None) for part in range(parts)]
    ray = spec["run"].get("executor") == "ray"
    taken = _children([json.dumps(one) for one in asked], ray=ray)
    if parts > 1:
        command = [sys.executable, "-m", "autolabel", "merge", str(place), "-q"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return taken


def _peer(case: Case, answers: Path) -> Measured:
    """Let transformers' own model label the photos in one process, with the number of threads that torch chooses."""
    asked = (
        "stock",
        {
            "checkpoint": case.checkpoint,
            "classes": case.classes,
            "photos": str(case.photos),
            "threshold": case.threshold,
        },
        str(answers),
    )
    return _children([json.dumps(asked)])


def _children(asked: Sequence[str], *, ray: bool = False) -> Measured:
    """Run commands at the same time; each prints when it had labelled each photo."""
    began, before = time.perf_counter(), os.times()
    command = [sys.executable, str(Path(__file__).resolve()), "--child"]
    running = [subprocess.Popen([*command, one], stdout=subprocess.PIPE, text=True) for one in asked]
    told = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"a command failed: {told}")
    wall, after = time.perf_counter() - began, os.times()
    times = sorted(when for text in told for when in json.loads(text.splitlines()[-1]))
    first = len(times) // _WARM
    rate = (len(times) - 1 - first) / (times[-1] - times[first])
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(rate, wall, None if ray else spent)


def _label(spec: dict[str, Any], part: str | None) -> list[float]:
    """Run a spec in this process as ``autolabel generate`` does; return when each row was done."""
    from autolabel.executors.tuning import tune_process
    from autolabel.plan.compile import compile_plan
    from autolabel.registry import discover
    from autolabel.results.slices import Slice
    from autolabel.run.generate import generate, generate_slice
    from autolabel.run.worker import Done, Watch
    from autolabel.spec.load import spec_from_mapping

    class Clock(Watch):
        """Notes when rows come."""

        def row(self, done: Done) -> None:
            times.append(time.perf_counter())

    times: list[float] = []
    registry = discover()
    compiled = compile_plan(spec_from_mapping(spec, root=Path.cwd(), registry=registry), registry=registry)
    execution = compiled.plan.execution
    print(f"{execution.executor}, {execution.places or 'a cluster'}, threads {execution.threads}", file=sys.stderr)
    if execution.executor == "inline":
        tune_process(execution.threads)
    if part is None:
        generate(compiled, registry=registry, watch=Clock())
    else:
        generate_slice(compiled, Slice.parse(part), watch=Clock())
    return times


def _stock(asked: dict[str, Any], answers: str) -> list[float]:
    """Label photos with transformers' own model, one forward pass each; keep the boxes after NMS."""
    import numpy as np
    import torch
    from transformers import AutoTokenizer, GroundingDinoForObjectDetection
    from transformers.utils import logging

    from autolabel.images import read_size
    from autolabel.types import Instances, Round
    from autolabel.types.boxes import clip
    from autolabel_aggregators.nms import Nms
    from autolabel_grounding_dino.labeler import GroundingDino
    from autolabel_labeling.pixels import read_shaping
    from benchmarks.boxes import TINY, Stock

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    checkpoint = TINY if asked["checkpoint"] == "tiny" else Path(asked["checkpoint"])
    classes = _in_order(GroundingDino(GroundingDino.Params(checkpoint=str(checkpoint))), tuple(asked["classes"]))
    model = GroundingDinoForObjectDetection.from_pretrained(checkpoint, dtype=torch.float32).eval()
    stock = Stock(model, AutoTokenizer.from_pretrained(checkpoint), read_shaping(checkpoint))
    nms, times, found = Nms(Nms.Params()), list[float](), {}
    for path in sorted(Path(asked["photos"]).iterdir()):
        scores, corners = stock.look(path, classes)
        query, label = np.nonzero(scores > asked["threshold"])
        instances = Instances.build(corners[query], scores=scores[query, label], labels=label)
        kept = nms.aggregate(instances, Round(index=0, conf_threshold=asked["threshold"]))
        inside = clip(kept.boxes, read_size(path))
        found[path.name] = [
            (classes[one], box.tolist(), float(score))
            for one, box, score in zip(kept.labels, inside, kept.scores, strict=True)
        ]
        times.append(time.perf_counter())
    Path(answers).write_bytes(pickle.dumps(found))
    print(f"{torch.get_num_threads()} threads", file=sys.stderr)
    return times


def _in_order(detector: Any, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes as our caption lists them: float32 rounds otherwise in another order."""
    from autolabel.types import Prompt

    (caption,) = detector.captions(Prompt(classes))
    return tuple(classes[label] for (label,) in caption.labels)


def _near(labels: bytes, stock: Path, case: Case) -> tuple[int, float]:
    """Return how many boxes both sides have, and the share that the other has too."""
    from autolabel.types import Instances
    from benchmarks._matched import Matched

    theirs = pickle.loads(stock.read_bytes())  # written by this benchmark
    result = Matched(above=case.threshold + SCORE, overlap=OVERLAP)

    def instances(boxes: Sequence[tuple[str, Sequence[float], float]]) -> Instances:
        return Instances.build(
            [box for _, box, _ in boxes],
            scores=[score for _, _, score in boxes],
            labels=[case.classes.index(phrase) for phrase, _, _ in boxes],
        )

    for row in map(json.loads, labels.splitlines()):
        mine = instances([(one["phrase"], one["bbox"], one["score"]) for one in row["instances"]])
        other = instances(theirs[row["image"]])
        result.take(mine, other)
        result.take(other, mine)
    return result.boxes, result.share


def _cores() -> int:
    from autolabel.plan.machine import cores

    return cores()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--photos", type=int, default=64, help="for tiny; half of them with 12 megapixels")
    parser.add_argument("--large", type=int, default=12, help="photos for swin-t")
    parser.add_argument("--size", default="480x800", help="height x width of swin-t's input")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is None:
        main(given.models, photos=given.photos, large=given.large, size=given.size)
    else:
        kind, first, second = json.loads(given.child)
        print(json.dumps(_label(first, second) if kind == "label" else _stock(first, second)))
