"""What decoding large JPEGs costs beside the shipped checkpoint, and what libjpeg's scaled decoding would change."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from autolabel.executors.tuning import reuse_memory  # noqa: E402
from autolabel.images import jpeg, read_pixels  # noqa: E402
from autolabel.types import Instances, Round, Sample, Size  # noqa: E402
from autolabel_aggregators.nms import Nms  # noqa: E402
from autolabel_grounding_dino.labeler import GroundingDino  # noqa: E402
from autolabel_labeling.pixels import ResizedImage, resize_pixels  # noqa: E402
from benchmarks._matched import matched  # noqa: E402
from benchmarks.gpu import made  # noqa: E402
from benchmarks.precision import average_precision, known_photos  # noqa: E402

_FLOOR = 0.05
_GRAIN, _QUALITY = 4.0, 90
_Pixels = npt.NDArray[np.uint8]


def enlarged(source: Path, target: Path, megapixels: float) -> None:
    """Write a photo again with more pixels and the grain of a sensor."""
    with Pillow.open(source) as image:
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        large = image.convert("RGB").resize(
            (round(image.width * factor), round(image.height * factor)), Pillow.Resampling.BICUBIC
        )
    grain = np.random.default_rng(0).normal(0, _GRAIN, (large.height, large.width, 1)).astype(np.int16)
    pixels = (np.asarray(large, np.int16) + grain).clip(0, 255).astype(np.uint8)
    Pillow.fromarray(pixels).save(target, quality=_QUALITY)


def by_pillow(path: Path, wanted: Size) -> _Pixels:
    """Decode with Pillow alone."""
    with patch.object(jpeg, "_decoder", lambda: None):
        return read_pixels(path)


def by_autolabel(path: Path, wanted: Size) -> _Pixels:
    """Decode as a run does."""
    return read_pixels(path)


def scaled(factor: float) -> Callable[[Path, Size], _Pixels]:
    """Decode to 1/2, 1/4 or 1/8 as long as the result is at least ``factor`` times what the network sees."""

    def decode(path: Path, wanted: Size) -> _Pixels:
        with Pillow.open(path) as image:
            image.draft(None, (round(wanted[1] * factor), round(wanted[0] * factor)))
            return np.asarray(image.convert("RGB"))

    return decode


WAYS: dict[str, Callable[[Path, Size], _Pixels]] = {
    "Pillow": by_pillow,
    "autolabel": by_autolabel,
    "scaled, at least 2x": scaled(2),
    "scaled, at least 1x": scaled(1),
}


@dataclass
class _Found:
    """What one way of decoding gave, and its CPU seconds a photo."""

    answers: list[Instances] = field(default_factory=list)
    decoding: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    """Mean differences of the network's pixels from the first way's, of 255."""


_Answer = tuple[Instances, _Pixels, float, float]
"""Boxes, what the network saw, CPU seconds of decoding and of the network."""


def label(model: GroundingDino, photo: Sample, path: Path, decode: Callable[[Path, Size], _Pixels]) -> _Answer:
    """Find boxes in a large photo, in pixels of the small one."""
    with Pillow.open(path) as image:
        wanted = model.shaping.resized((image.height, image.width))
    began = time.process_time()
    seen = resize_pixels(decode(path, wanted), wanted)
    decoded = time.process_time()
    found = model.detect(model.prepare([ResizedImage(seen, photo.image.size)]), [photo.prompt], _FLOOR)[0]
    answered = time.process_time()
    kept = Nms(Nms.Params()).aggregate(found, Round(index=0, conf_threshold=_FLOOR))
    return kept, seen, decoded - began, answered - decoded


def measure(model: GroundingDino, photos: Sequence[Sample], megapixels: float) -> dict[str, _Found]:
    """Decode every photo in all ways by turns."""
    found = {name: _Found() for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.jpg"
        for photo in photos:
            enlarged(Path(photo.image.path), large, megapixels)
            first: _Pixels | None = None
            for name, decode in WAYS.items():
                kept, seen, decoding, network = label(model, photo, large, decode)
                first = seen if first is None else first
                mine = found[name]
                mine.answers.append(kept)
                mine.decoding.append(decoding)
                mine.network.append(network)
                mine.apart.append(float(np.abs(seen.astype(np.int16) - first).mean()))
    return found


def main() -> None:
    """Print a row for each size of photo and way of decoding, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path, help="a COCO file, its photos in the folder images beside it")
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12.0, 24.0])
    given = parser.parse_args()
    torch.set_num_threads(1)
    reuse_memory()
    photos = known_photos(given.truth, given.photos)
    model = made.detector(Path(given.checkpoint), "cpu", "float32")
    model.detect(model.prepare([model.preprocess(photos[0])]), [photos[0].prompt], _FLOOR)
    rows = []
    for megapixels in given.megapixels:
        found = measure(model, photos, megapixels)
        exact = found["Pillow"].answers
        for name, mine in found.items():
            ap, ap50 = average_precision(given.truth, photos, mine.answers)
            same = matched(zip(exact, mine.answers, strict=True))
            row = {
                "megapixels": megapixels,
                "way": name,
                "decoding_ms": 1000 * median(mine.decoding),
                "network_ms": 1000 * median(mine.network),
                "pixels_apart": max(mine.apart),
                "ap": ap,
                "ap50": ap50,
                "matched": same.share,
                "score_apart": same.score,
            }
            rows.append(row)
            print(
                f"{megapixels:4g} MP, {name:20} decoding and resizing {row['decoding_ms']:4.0f} ms of CPU, network"
                f" {row['network_ms']:4.0f} ms; pixels {row['pixels_apart']:.2f} of 255 apart; AP {ap:.4f},"
                f" AP50 {ap50:.4f}; {same.share:.2%} of {same.boxes} boxes above 0.3 found again at IoU 0.95,"
                f" scores at most {same.score:.3f} apart",
                flush=True,
            )
    print(json.dumps({"benchmark": "decoding", "photos": len(photos), "load": os.getloadavg()[0], "rows": rows}))


if __name__ == "__main__":
    main()
