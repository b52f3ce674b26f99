"""Measure what a run of two stages would save if it decoded each photo once, and did not wait between the stages."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
EXAMPLES = ROOT / "examples" / "bccd" / "images"
BOXES = {
    "labeler": {"type": "grounding_dino", "checkpoint": "tiny"},
    "scheduler": {"type": "cosine", "rounds": 3, "start": 0.5, "end": 0.3},
    "ask": "all",
}
MASKS = {"labeler": {"type": "mal", "checkpoint": "tiny-mal"}}
_LINE = re.compile(r"(\S+ \S+) \w+ \S+: (.*)")


def main(photos: Path, *, images: int = 40, workers: int = 2, shard_size: int = 4) -> None:
    """Print the CPU of both stages and of decoding, and the time in which workers wait for the second stage."""
    from autolabel.images import read_pixels
    from benchmarks.scale import measure

    some = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".png"))[:images]
    began = time.process_time()
    for path in some:
        read_pixels(path)
    decoding = time.process_time() - began
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "photos").mkdir()
        for path in some:
            (place / "photos" / path.name).symlink_to(path.resolve())
        cpu = {}
        for run, stages in (("boxes", (BOXES,)), ("both", (BOXES, MASKS))):
            spec = place / f"{run}.yaml"
            spec.write_text(json.dumps(_spec(place, run, stages, workers=workers, shard_size=shard_size)))
            cpu[run] = measure(["generate", str(spec), "-q"], dict(os.environ))["cpu"]
        waiting, between, whole = _waits(place / "both" / "logs")
    masks = cpu["both"] - cpu["boxes"]
    print(f"{len(some)} photos, {workers} workers, {-(-len(some) // shard_size)} shards")
    print(f"CPU: run {cpu['both']:.1f} s, of which the mask stage {masks:.1f} s")
    print(f"decoding once more: {decoding:.2f} s, {decoding / masks:.1%} of the mask stage, ", end="")
    print(f"{decoding / cpu['both']:.1%} of the run")
    print(f"waiting at the end of the first stage: {waiting / workers / whole:.1%} of the run's time")
    print(f"from the last box to the first worker with the mask network: {between / whole:.1%} of the run's time")


def _spec(place: Path, run: str, stages: Sequence[object], *, workers: int, shard_size: int) -> dict[str, object]:
    return {
        "version": 1,
        "data": {
            "images": [str(place / "photos")],
            "follow_symlinks": True,
            "classes": ["red blood cell", "white blood cell", "platelet"],
        },
        "stages": list(stages),
        "devices": "cpu",
        "run": {"workers_per_device": workers, "threads": 1, "num_workers": 1, "shard_size": shard_size},
        "results_dir": str(place / run),
    }


def _waits(logs: Path) -> tuple[float, float, float]:
    """Return seconds that workers wait for the last box, from then to the first worker with masks, and in all."""
    ends: dict[str, list[float]] = {}
    loads: dict[str, list[float]] = {}
    for log in logs.iterdir():
        stage = ""
        for line in log.read_text().splitlines():
            if not (found := _LINE.match(line)):
                continue
            when = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()
            if " is loaded on " in found[2]:
                stage = found[2].partition(" ")[0]
                loads.setdefault(stage, []).append(when)
        if stage:
            ends.setdefault(stage, []).append(when)
    first, second = sorted(ends)
    last = max(ends[first])
    whole = max(ends[second]) - min(loads[first])
    return sum(last - end for end in ends[first]), min(loads[second]) - last, whole


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="?", default=EXAMPLES)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-size", type=int, default=4)
    main(**vars(parser.parse_args()))
