"""Measure what tiles bring: many small cells on one large photo, seen whole and tile by tile.

The photo is a wall of the repository's blood photos, mirrored this way and that, so that its true boxes are known.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

HERE = Path(__file__).resolve().parent
BCCD = HERE.parent / "examples" / "bccd"
PHOTO = (480, 640)
THRESHOLD = 0.32
"""About the score at which the checkpoint is best on such photos, see checkpoints/tiny/README.md."""
# Runs a command and prints its peak memory as the last line: a process knows that of its children only when they end.
PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


@dataclass(frozen=True)
class Figures:
    """What one way of looking found."""

    way: str
    recall: float
    precision: float
    found: int
    seconds: float
    megabytes: float


def wall(folder: Path, size: tuple[int, int], seed: int) -> int:
    """Write a photo of ``size`` (height, width) and its true boxes into ``folder``; return how many there are."""
    truth = json.loads((BCCD / "boxes.json").read_text())
    random = np.random.default_rng(seed)
    canvas = np.full((*size, 3), 230, np.uint8)
    boxes: list[dict[str, Any]] = []
    for top in range(0, size[0] - PHOTO[0] + 1, PHOTO[0]):
        for left in range(0, size[1] - PHOTO[1] + 1, PHOTO[1]):
            image = truth["images"][random.integers(len(truth["images"]))]
            flip_x, flip_y = random.integers(0, 2, 2)
            pixels = np.asarray(Pillow.open(BCCD / "images" / image["file_name"]).convert("RGB"))
            pixels = pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
            canvas[top : top + PHOTO[0], left : left + PHOTO[1]] = pixels
            for one in truth["annotations"]:
                if one["image_id"] == image["id"]:
                    x, y, width, height = one["bbox"]
                    x = PHOTO[1] - x - width if flip_x else x
                    y = PHOTO[0] - y - height if flip_y else y
                    box = [x + left, y + top, width, height]
                    boxes.append({"id": len(boxes) + 1, "image_id": 1, "category_id": one["category_id"], "bbox": box})
    for one in boxes:
        one |= {"area": one["bbox"][2] * one["bbox"][3], "iscrowd": 0}
    (folder / "images").mkdir()
    Pillow.fromarray(canvas).save(folder / "images" / "wall.png", compress_level=1)
    image = {"id": 1, "file_name": "wall.png", "height": size[0], "width": size[1]}
    document = {"images": [image], "annotations": boxes, "categories": truth["categories"]}
    (folder / "truth.json").write_text(json.dumps(document))
    return len(boxes)


def measure(folder: Path, way: str, tiles: dict[str, Any] | None) -> Figures:
    """Label the photo in a process of its own and compare with the truth."""
    stage: dict[str, Any] = {
        "labeler": {"type": "grounding_dino", "checkpoint": "tiny"},
        "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": THRESHOLD}]},
        "aggregator": {"type": "nms", "threshold": 0.5},
        "ask": "all",
    }
    spec = {
        "version": 1,
        "data": {"images": ["images"], "classes": [one["name"] for one in categories(folder)]},
        "stages": [stage | ({"tiles": tiles} if tiles else {})],
        "run": {"batch_size": 1, "num_workers": 1},
        "results_dir": way,
    }
    path = folder / f"{way}.yaml"
    path.write_text(json.dumps(spec))
    cli = [sys.executable, "-m", "autolabel"]
    start = time.perf_counter()
    command = [sys.executable, "-c", PEAK, *cli, "generate", "-q", str(path)]
    peak = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout.split()[-1]
    seconds = time.perf_counter() - start
    command = [*cli, "evaluate", str(folder / way), "--gt", str(folder / "truth.json"), "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    right, true, found = (sum(one[key] for one in told["classes"]) for key in ("right", "true", "found"))
    return Figures(way, right / true, right / max(found, 1), found, seconds, int(peak) / 1024)


def categories(folder: Path) -> list[dict[str, Any]]:
    """Return the categories of the truth."""
    named: list[dict[str, Any]] = json.loads((folder / "truth.json").read_text())["categories"]
    return named


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="8000x6000", help="width x height of the photo")
    parser.add_argument("--tile", type=int, default=640, help="side of a tile")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    ways: dict[str, dict[str, Any] | None] = {
        "whole": None,
        "tiles": {"size": options.tile, "overlap": 0.2, "whole": False},
        "tiles-and-whole": {"size": options.tile, "overlap": 0.2},
    }
    with tempfile.TemporaryDirectory() as name:
        count = wall(Path(name), (height, width), options.seed)
        print(f"{width}x{height}, {count:,} cells, tiles of {options.tile}, threshold {THRESHOLD}\n")
        print(f"{'seen':16} {'recall':>7} {'precision':>10} {'boxes':>6} {'seconds':>8} {'peak MB':>8}")
        for way, tiles in ways.items():
            one = measure(Path(name), way, tiles)
            print(
                f"{one.way:16} {one.recall:7.3f} {one.precision:10.3f} {one.found:6,} {one.seconds:8.1f}"
                f" {one.megabytes:8,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
