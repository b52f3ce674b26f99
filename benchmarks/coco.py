"""Read a COCO file of a million annotations beside pycocotools: time and peak memory, each in its own process."""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

from autolabel.types import Rle

HEIGHT, WIDTH = 480, 640
PER_IMAGE = 50
CATEGORIES = 80
PEER = "pycocotools"


def shapes(count: int) -> list[str]:
    """Return the compressed runs of ellipses of many sizes, about 90 characters each."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(count):
        height, width = generator.integers(10, 70, 2)
        y, x = np.mgrid[:height, :width]
        inside = ((y * 2 + 1) / height - 1) ** 2 + ((x * 2 + 1) / width - 1) ** 2 < 1
        left, top = int(generator.integers(0, WIDTH - width)), int(generator.integers(0, HEIGHT - height))
        made.append(Rle.from_crop(inside, left=left, top=top, size=(HEIGHT, WIDTH)).counts)
    return made


def pieces(annotations: int) -> Iterator[str]:
    """Yield the text of a COCO file, an image's annotations at a time."""
    images = annotations // PER_IMAGE
    pool, chance = shapes(64), random.Random(0)
    rows = ({"id": i, "file_name": f"dir/{i:06d}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(1, images + 1))
    yield '{"images": [' + ", ".join(map(json.dumps, rows))
    yield '], "annotations": ['
    for image in range(1, images + 1):
        first = (image - 1) * PER_IMAGE + 1
        written = [
            json.dumps(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": number % CATEGORIES + 1,
                    "bbox": [round(chance.random() * 500, 2), round(chance.random() * 400, 2), 50.5, 40.25],
                    "area": 2032.6,
                    "iscrowd": 0,
                    "segmentation": {"size": [HEIGHT, WIDTH], "counts": pool[number % len(pool)]},
                }
            )
            for number in range(first, first + PER_IMAGE)
        ]
        yield (", " if image > 1 else "") + ", ".join(written)
    yield '], "categories": [' + ", ".join(
        json.dumps({"id": i, "name": f"class {i}"}) for i in range(1, CATEGORIES + 1)
    )
    yield "]}"


def ours(path: str) -> None:
    """Read every box and id; segmentations stay text until an image is asked for."""
    from autolabel.data.coco.read import read_coco

    read_coco(path, masks=False)


def ours_walked(path: str) -> None:
    """Read, then make every annotation of every image, its segmentation included."""
    from autolabel.data.coco.read import read_coco

    for _, own in read_coco(path, masks=False).by_image():
        assert own[0].segmentation


def ours_checked(path: str) -> None:
    """Read, and add up the runs of every segmentation, which pycocotools does not."""
    from autolabel.data.coco.read import read_coco

    read_coco(path)


def peer(path: str) -> None:
    """Read as pycocotools does: all of it as dictionaries."""
    from pycocotools.coco import COCO

    COCO(path)


WAYS: dict[str, Callable[[str], None]] = {
    PEER: peer,
    "autolabel": ours,
    "autolabel, walked": ours_walked,
    "autolabel, masks checked": ours_checked,
}


def measure(way: str, path: str) -> dict[str, float]:
    """Run one way in a process of its own and return its CPU seconds and peak memory in MB."""
    command = [sys.executable, __file__, "--way", way, "--path", path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_one(way: str, path: str) -> None:
    """Read the file once and print what it cost; imports are not counted."""
    import msgspec  # noqa: F401
    import pycocotools.coco  # noqa: F401

    import autolabel.data.coco.read  # noqa: F401

    start = time.process_time()
    WAYS[way](path)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Write the file, measure every way in turn, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--path")
    arguments = parser.parse_args()
    if arguments.way:
        run_one(arguments.way, arguments.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.json"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces(arguments.annotations))
        print(f"{arguments.annotations} annotations, {path.stat().st_size / 1e6:.0f} MB; median of {arguments.repeats}")
        runs = [{way: measure(way, str(path)) for way in WAYS} for _ in range(arguments.repeats)]
    result = {way: {key: median(run[way][key] for run in runs) for key in ("seconds", "peak_mb")} for way in WAYS}
    for way, figures in result.items():
        share = {key: figures[key] / result[PEER][key] for key in figures}
        print(
            f"{way:26} {figures['seconds']:7.2f} CPU s ({share['seconds']:.2f}) "
            f"{figures['peak_mb']:7.0f} MB ({share['peak_mb']:.2f})"
        )
    print(json.dumps({"benchmark": "coco_read", "annotations": arguments.annotations, "ways": result}))


if __name__ == "__main__":
    main()
