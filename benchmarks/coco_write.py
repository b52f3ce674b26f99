"""Time the COCO export of a million objects with masks beside one json.dump of the same dictionary."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autolabel.types import Image, Instances, Labels, Prompt, Rle
from autolabel_exporters.coco import INFO, Coco

SIZE = (480, 640)
CLASSES = tuple(f"class {number}" for number in range(80))
PATTERNS = 40
MEGABYTE = 1 << 20


class Rows:
    """Rows that are made as they are walked over, so that the writer alone counts."""

    def __init__(self, images: int, objects: int) -> None:
        self.images = images
        generator = np.random.default_rng(0)
        self.patterns = [instances(generator, objects) for _ in range(PATTERNS)]

    def __iter__(self) -> Iterator[Labels]:
        prompt = Prompt(CLASSES)
        for number in range(self.images):
            name = f"{number // 1000:04d}/{number:08d}.jpg"
            image = Image(id=name, path=name, size=SIZE)
            yield Labels(image=image, prompt=prompt, instances=self.patterns[number % PATTERNS])


def instances(generator: np.random.Generator, objects: int) -> Instances:
    """Return objects whose masks are ellipses, about 100 characters of RLE each."""
    corners = generator.uniform((0, 0), (540, 400), (objects, 2))
    sides = generator.uniform(20, 80, (objects, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1)
    return Instances.build(
        boxes,
        scores=generator.uniform(0.2, 1, objects),
        labels=generator.integers(0, len(CLASSES), objects),
        rounds=generator.integers(0, 5, objects),
        masks=[Rle.encode(ellipse(box)) for box in boxes],
    )


def ellipse(box: np.ndarray) -> np.ndarray:
    """Return the (H, W) mask of the ellipse inscribed in a box."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    inside = ((columns - x) / (box[2] - box[0])) ** 2 + ((rows - y) / (box[3] - box[1])) ** 2
    return np.asarray(inside < 0.25)


def write_streaming(rows: Rows, folder: Path) -> Path:
    """Write with the exporter."""
    return Coco(Coco.Params()).export(rows, CLASSES, folder)[0]


def write_dump(rows: Rows, folder: Path) -> Path:
    """Write the same records the way that is usual: one dictionary of everything, then json.dump."""
    images, annotations = [], []
    for number, row in enumerate(rows, 1):
        images.append({"id": number, "file_name": row.image.id, "height": SIZE[0], "width": SIZE[1]})
        found = row.instances
        columns = zip(found.boxes, found.labels, found.scores, found.rounds, found.masks or (), strict=True)
        for box, label, score, found_in, mask in columns:
            assert mask is not None
            left, top, right, bottom = (round(float(value), 3) for value in box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": [left, top, round(right - left, 3), round(bottom - top, 3)],
                    "area": float(mask.area()),
                    "segmentation": mask.as_coco(),
                    "iscrowd": 0,
                    "score": round(float(score), 6),
                    "round": int(found_in),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    everything = {"info": INFO, "images": images, "annotations": annotations, "categories": categories}
    path = folder / "dump.json"
    with path.open("w") as file:
        json.dump(everything, file)
    return path


WRITERS = {"autolabel": write_streaming, "json.dump": write_dump}


def measure(name: str, rows: Rows) -> None:
    """Print one writer's CPU seconds, wall seconds, growth of peak memory and bytes as JSON."""
    Rle.encode(np.zeros(SIZE, bool)).area()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        path = WRITERS[name](rows, Path(folder))
        took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "bytes": path.stat().st_size}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(took | {"peak": peak / 1024, "growth": (peak - before) / 1024}))


def check_equal(rows: Rows) -> None:
    """Make sure that both writers write the same records."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (json.loads(write(rows, Path(folder)).read_bytes()) for write in WRITERS.values())
    if first != second:
        raise SystemExit("the writers do not write the same records")


def main() -> None:
    """Run each writer in processes of its own, by turns, then print the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--objects", type=int, default=50, help="objects an image")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", choices=WRITERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        measure(arguments.only, Rows(arguments.images, arguments.objects))
        return
    check_equal(Rows(PATTERNS, arguments.objects))
    size = ["--images", str(arguments.images), "--objects", str(arguments.objects)]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in WRITERS}
    for name in list(WRITERS) * arguments.repeat:
        command = [sys.executable, os.fspath(Path(__file__)), *size, "--only", name]
        results[name].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    best = {name: min(took, key=lambda one: one["cpu"]) for name, took in results.items()}
    print(f"{arguments.images * arguments.objects:,} objects with masks in {arguments.images:,} images")
    for name, took in best.items():
        times = best["json.dump"]["cpu"] / took["cpu"]
        print(
            f"  {name:10} {took['cpu']:7.2f} CPU s {took['wall']:7.2f} s {took['peak']:7.0f} MB peak "
            f"(+{took['growth']:.0f} MB) {took['bytes'] / MEGABYTE:6.0f} MB file {times:5.1f}x"
        )


if __name__ == "__main__":
    main()
