"""Measure what a run costs besides the model: many small images with a labeler that is almost free."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "examples" / "autolabel-colors" / "src"))
SCHEDULER = {"type": "step", "rounds": 3, "start": 0.8, "end": 0.3}


def main(images: int = 10_000) -> None:
    """Print the CPU time an image of a whole run, beside the labeler's own, with the memory that it takes."""
    import autolabel_colors
    from autolabel_colors import Rectangle, save

    from autolabel.plan.compile import compile_plan
    from autolabel.registry import discover, register
    from autolabel.run import worker
    from autolabel.run.generate import generate
    from autolabel.spec.load import spec_from_mapping

    registry = discover()
    if ("labeler", "colors") not in registry.entries:
        register(registry, autolabel_colors, package="autolabel-colors", version="0")
    worker.discover = lambda: registry  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template = save(folder / "0.png", [Rectangle(4, 4, 30, 40, "red"), Rectangle(35, 10, 60, 30, "blue", 0.4)])
        (folder / "photos").mkdir()
        for index in range(images):
            os.link(template, folder / "photos" / f"{index:06d}.png")
        own = labeler_time(autolabel_colors.Colors, template)
        spec = {
            "version": 1,
            "data": {"images": [str(folder / "photos")], "classes": ["red", "blue"]},
            "stages": [
                {"labeler": {"type": "colors"}, "scheduler": {"type": "step", "rounds": 3, "start": 0.8, "end": 0.3}}
            ],
            "devices": "cpu",
            "run": {"executor": "inline", "batch_size": 8, "num_workers": 1},
            "results_dir": str(folder / "run"),
        }
        before = peak()
        start = time.process_time()
        compiled = compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry)
        planned = time.process_time()
        generate(compiled, registry=registry)
        ended = time.process_time()
    result = {
        "benchmark": "overhead",
        "images": images,
        "plan_ms": 1000 * (planned - start) / images,
        "run_ms": 1000 * (ended - planned) / images,
        "decode_and_labeler_ms": 1000 * own,
        "own_ms": 1000 * ((ended - start) / images - own),
        "memory_mb": (peak() - before) / 1024,
    }
    print(f"{images:,} images of 64x64, CPU time each: plan {result['plan_ms']:.2f} ms, run {result['run_ms']:.2f} ms,")
    print(f"of it decoding and the labeler {result['decode_and_labeler_ms']:.2f} ms; ours {result['own_ms']:.2f} ms")
    print(f"peak memory grew by {result['memory_mb']:.0f} MB")
    print(json.dumps(result))


def labeler_time(labeler: type, path: Path, times: int = 500) -> float:
    """Return the seconds that decoding and the labeler alone take for one image."""
    from autolabel.images import read_pixels
    from autolabel.types import Image, Instances, Prompt, Sample

    made = labeler(labeler.Params())  # type: ignore[attr-defined]
    made.load("cpu")
    prompt = Prompt(("red", "blue"))
    start = time.process_time()
    for _ in range(times):
        pixels = read_pixels(path)
        image = Image(id="a", path=str(path), size=pixels.shape[:2])
        sample = Sample(image=image, pixels=pixels, prompt=prompt, instances=Instances.empty())
        made.detect(made.prepare([made.preprocess(sample)]), [prompt], 0.3)
    return (time.process_time() - start) / times


def peak() -> int:
    """Return this process's peak memory in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    main(**vars(parser.parse_args()))
