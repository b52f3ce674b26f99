"""Measure what each executor costs an image besides the model."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "autolabel-colors" / "src"


def main(images: int = 2000, shard_size: int = 64) -> None:
    """Print the wall time an image of each executor with a free labeler.

    The first row of a stage starts its clock: what workers take to start is told apart.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_example(folder / "installed")
        result = {"benchmark": "executors", "images": images} | overheads(folder / "free", images, shard_size)
    print(json.dumps(result))


def install_example(folder: Path) -> None:
    """Make the free labeler look installed, here and in workers."""
    info = folder / "autolabel_colors-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: autolabel-colors\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[autolabel]\ncolors = autolabel_colors\n")
    paths = [str(folder), str(EXAMPLE)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])


def overheads(folder: Path, images: int, shard_size: int) -> dict[str, float]:
    """Run the free labeler with each executor."""
    from autolabel_colors import Rectangle, save

    (folder / "photos").mkdir(parents=True)
    template = save(folder / "0.png", [Rectangle(4, 4, 30, 40, "red"), Rectangle(35, 10, 60, 30, "blue", 0.4)])
    for index in range(images):
        os.link(template, folder / "photos" / f"{index:06d}.png")
    spec = {
        "data": {"images": [str(folder / "photos")], "classes": ["red"]},
        "stages": [{"labeler": {"type": "colors"}}],
    }
    ways: dict[str, dict[str, Any]] = {
        "inline": {"executor": "inline"},
        "processes": {"executor": "processes", "workers_per_device": 1},
        "processes x 2": {"executor": "processes", "workers_per_device": 2},
    }
    if find_spec("ray"):
        ways["ray"] = {"executor": "ray", "ray": {"address": "local", "workers": 1}}
        ways["ray x 2"] = {"executor": "ray", "ray": {"address": "local", "workers": 2}}
    print(f"{images:,} images of 64x64, a labeler that is almost free, shards of {shard_size}:")
    found = {}
    for name, run in ways.items():
        clock = measured(
            spec | {"run": {"num_workers": 1, "threads": 1, "shard_size": shard_size, **run}}, folder / name
        )
        found[f"{name} ms"] = 1000 / clock["rate"]
        print(f"  {name:14} {1000 / clock['rate']:6.2f} ms an image; the first row after {clock['start']:.1f} s")
    return found


def measured(spec: dict[str, Any], out: Path) -> dict[str, float]:
    """Run a spec; return rows a second from the first row on, and the seconds before that."""
    from autolabel.plan.compile import compile_plan
    from autolabel.plan.model import Plan, Stage
    from autolabel.registry import discover
    from autolabel.run.generate import generate
    from autolabel.run.worker import Done, Watch
    from autolabel.spec.load import spec_from_mapping

    class Clock(Watch):
        """Notes when rows come."""

        def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
            self.began, self.times = time.perf_counter(), []

        def row(self, done: Done) -> None:
            self.times.append(time.perf_counter())

    registry, clock = discover(), Clock()
    whole = {"version": 1, "devices": "cpu", "export": [{"type": "odvg"}], "results_dir": str(out), **spec}
    compiled = compile_plan(spec_from_mapping(whole, root=out.parent, registry=registry), registry=registry)
    generate(compiled, registry=registry, watch=clock)
    first = len(clock.times) // 4  # all workers have begun by then
    rate = (len(clock.times) - 1 - first) / (clock.times[-1] - clock.times[first])
    return {"rate": rate, "start": clock.times[0] - clock.began}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--shard-size", type=int, default=64)
    main(**vars(parser.parse_args()))
