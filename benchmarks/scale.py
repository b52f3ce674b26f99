"""Measure what planning, running, exporting and reporting cost on many listed images with a free labeler."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "autolabel-colors" / "src"
SIZES = ((64, 64), (64, 96), (96, 64))
SHARD, TARGET, GPUS, RATE = 64, 100_000_000, 64, 10.0
"""What is projected: so many images on so many GPUs that each label so many a second (taken, not measured)."""
LINKS = 1000
"""File systems allow a file so many names."""
Phase = dict[str, float]


def main(images: int = 20_000, *, workers: int = 2, folder: Path | None = None) -> dict[str, Phase]:
    """Print seconds and the driver's peak memory (MiB) of every phase; return them by name."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        make_images(place / "photos", images)
        spec = write_spec(place, workers)
        path = [str(make_package(place / "site")), str(EXAMPLE), os.environ.get("PYTHONPATH", "")]
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, path)))
        run = str(place / "run")
        commands = {
            "plan": ["plan", str(spec), "--out", str(place / "plan.json"), "--json"],
            "generate": ["generate", str(spec), "-q"],
            "again": ["generate", str(spec), "-q"],
            "planned": ["generate", str(spec), "-q", "--planned"],
            "status": ["status", run],
            "coco": ["export", run, "coco"],
            "odvg": ["export", run, "odvg"],
            "report": ["report", run],
        }
        phases = {}
        for name, words in commands.items():
            phases[name] = phase = measure(words, env)
            told = f"{phase['seconds']:8.1f} s, {phase['cpu']:8.1f} s of CPU, peak {phase['mb']:6.0f} MiB"
            print(f"{name:>9}: {told}", flush=True)
        sizes = {
            "ledger_mb": size(place / "run" / "labels.jsonl"),
            "inputs_mb": size(place / "run" / "inputs.jsonl"),
            "plan_mb": size(place / "run" / "plan.json"),
        }
    print(json.dumps({"benchmark": "scale", "images": images, "workers": workers, "phases": phases, **sizes}))
    show(phases, sizes, images)
    return phases


def show(phases: dict[str, Phase], sizes: dict[str, float], images: int) -> None:
    """Print, as tables for docs/scale.md, what a million images cost, and what TARGET would need."""
    sys.path.insert(0, str(ROOT))
    from benchmarks._projection import Rates, project

    print(f"\n| of {images:,} images, for a million | seconds of CPU | peak of the driver |\n|---|---|---|")
    for name, phase in phases.items():
        print(f"| {name} | {phase['cpu'] / images * 1e6:,.0f} | {phase['mb']:,.0f} MiB |")
    each = {name: phase["cpu"] / images for name, phase in phases.items()}
    shards = -(-images // SHARD)
    rates = Rates(
        plan=each["plan"],
        coco=each["coco"],
        report=each["report"],
        input_bytes=sizes["inputs_mb"] * 1e6 / images,
        ledger_bytes=sizes["ledger_mb"] * 1e6 / images,
        plan_bytes=sizes["plan_mb"] * 1e6 / shards,
        driver_mb=max(phase["mb"] for phase in phases.values()),
    )
    print(f"\n| {TARGET:,} images | shards of 64 | shards of 1,024 |\n|---|---|---|")
    small, large = (project(rates, images=TARGET, gpus=GPUS, per_second=RATE, shard_size=size) for size in (64, 1024))
    for (name, one), other in zip(small.items(), large.values(), strict=True):
        print(f"| {name} | {one} | {other} |")


def make_images(folder: Path, images: int) -> None:
    """Write a tree of hard links to small pictures of three sizes, a thousand in each folder."""
    sys.path.insert(0, str(EXAMPLE))
    from autolabel_colors import save

    for start in range(0, images, LINKS):
        inside = folder / f"{start // LINKS:05d}"
        size = SIZES[start // LINKS % len(SIZES)]
        boxes = [(4, 4, 30, 40, "red"), (35, 10, 60, 30, "blue", 0.4)]
        first = save(inside / f"{start:09d}.png", boxes, size=size)
        for index in range(start + 1, min(start + LINKS, images)):
            os.link(first, inside / f"{index:09d}.png")


def write_spec(place: Path, workers: int) -> Path:
    """Write the spec of the run."""
    spec = {
        "version": 1,
        "data": {"images": [str(place / "photos")], "classes": ["red", "blue"]},
        "stages": [{"labeler": {"type": "colors"}}],
        "devices": "cpu",
        "run": {"workers_per_device": workers, "threads": 1, "num_workers": 1, "batch_size": 8},
        "export": [],
        "results_dir": str(place / "run"),
    }
    path = place / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def make_package(site: Path) -> Path:
    """Make the example package look installed below ``site``."""
    info = site / "autolabel_colors-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: autolabel-colors\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[autolabel]\ncolors = autolabel_colors\n")
    return site


def measure(words: Sequence[str], env: dict[str, str]) -> Phase:
    """Run a command and return its seconds, CPU seconds with its workers', and its own peak memory in MiB."""
    start, peak = time.perf_counter(), 0
    child = subprocess.Popen([sys.executable, "-m", "autolabel", *words], env=env, stdout=subprocess.DEVNULL)
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, peak_of(child.pid))
        time.sleep(0.05)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"autolabel {' '.join(words)} ended with {child.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu": cpu, "mb": peak / 1024}


def peak_of(pid: int) -> int:
    """Return the most memory that a process has held, in kB; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def size(path: Path) -> float:
    """Return a file's size in MB."""
    return path.stat().st_size / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the images are made; a temporary folder unless given")
    main(**vars(parser.parse_args()))
