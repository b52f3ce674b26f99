"""Measure and check everything that wants a GPU: ``python -m benchmarks.gpu``.

Each part runs in a process of its own and keeps its rows in OUT/PART.json. A part that came to its end, and whose
checks hold, is not run again: the same command goes on where time ran out; --fresh begins anew. Nothing is downloaded.

Exit status: 0, all parts ended and every check holds; 1, a part failed, was stopped or a check does not hold; 2, wrong
arguments; 3, no device.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.part import Part, Setting, as_json, file_of, from_json, is_finished, read, run
from benchmarks.gpu.table import failures, written

ROOT = Path(__file__).resolve().parents[2]
NO_DEVICE = 3
_SHORTEST = 5.0
"""Seconds under which no part is begun."""


def parts() -> dict[str, Part]:
    """Return all parts by name, in the order in which they run."""
    from benchmarks.gpu import graphs, kernel, marked, memory, parity, profiled, rates, shapes, workers

    listed = (
        Part(name="tests", title="Tests marked for a device", measure=marked.measure, seconds=90),
        Part(name="kernel", title="Deformable attention", measure=kernel.measure, seconds=40),
        Part(name="parity", title="The device beside the CPU", measure=parity.measure, seconds=90),
        Part(name="rates", title="Rates", measure=rates.measure, seconds=120),
        Part(name="memory", title="Memory", measure=memory.measure, seconds=45),
        Part(name="workers", title="Two workers on one device", measure=workers.measure, seconds=60),
        Part(name="profile", title="Where the time goes", measure=profiled.measure, seconds=40),
        Part(name="graphs", title="torch.compile and CUDA graphs", measure=graphs.measure, seconds=120),
        Part(name="shapes", title="Shapes on the meta device", measure=shapes.measure, seconds=40, meta=True),
    )
    return {part.name: part for part in listed}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left to run; print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("parts", nargs="*", metavar="PART", help="run these parts alone")
    parser.add_argument("--device", default="cuda:0", help="cuda:N; cpu with --reduced; meta for shapes alone")
    parser.add_argument("--reduced", action="store_true", help="small networks and few images: a trial of the script")
    parser.add_argument("--out", default="runs/gpu", help="the folder of the results")
    parser.add_argument("--oracles", default=str(ROOT.parent / "shared" / "oracles"), help="reference outputs")
    parser.add_argument("--minutes", type=float, default=8.0, help="begin and stop parts within so many minutes")
    parser.add_argument("--fresh", action="store_true", help="run finished parts again")
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    known = parts()
    if unknown := [name for name in given.parts if name not in known]:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
    if given.setting:
        run(known[given.parts[0]], from_json(given.setting))
        return 0
    if reason := _missing(given.device):
        print(f"no device: {reason}", file=sys.stderr)
        return NO_DEVICE
    setting = Setting(device=given.device, reduced=given.reduced, out=given.out, oracles=given.oracles)
    chosen = [known[name] for name in given.parts or known]
    if given.device == "meta":
        chosen = [part for part in chosen if part.meta]
    left = measure(chosen, setting, seconds=60 * given.minutes, fresh=given.fresh)
    text = written([read(part.name, given.out) for part in chosen])
    Path(given.out, "table.md").write_text(text)
    print(text)
    for line in left:
        print(line, file=sys.stderr)
    bad = [line for part in chosen for line in failures(read(part.name, given.out))]
    for line in bad:
        print(line, file=sys.stderr)
    return 1 if left or bad else 0


def measure(chosen: Sequence[Part], setting: Setting, *, seconds: float, fresh: bool) -> list[str]:
    """Run parts that are not finished, each in its own process; return a line for each that did not come to its end."""
    Path(setting.out).mkdir(parents=True, exist_ok=True)
    end, left = time.monotonic() + seconds, []
    for part in chosen:
        if not fresh and is_finished(part, setting):
            print(f"{part.name}: finished before", flush=True)
            continue
        file_of(setting.out, part.name).unlink(missing_ok=True)
        remains = end - time.monotonic()
        if remains < _SHORTEST:
            left.append(f"{part.name}: not begun, time is over; the same command goes on with it")
            continue
        print(f"{part.name}: {part.title} ...", flush=True)
        left += _in_process(part, setting, min(remains, part.seconds if setting.cuda else remains))
    return left


def _in_process(part: Part, setting: Setting, seconds: float) -> list[str]:
    """Run a part; return a line if it was stopped or its process died."""
    command = [sys.executable, "-m", "benchmarks.gpu", part.name, "--setting", as_json(setting)]
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=seconds, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return [f"{part.name}: stopped after {seconds:.0f} s; its rows so far are kept"]
    if done.returncode:
        return [f"{part.name}: its process ended with {done.returncode}: {done.stderr.strip()[-600:]}"]
    return []


def _missing(device: str) -> str:
    """Return why a device cannot be used, "" if it can."""
    if device in ("cpu", "meta"):
        return ""
    import torch

    if not device.startswith("cuda"):
        return f"{device!r} is none; say cuda:0, cpu or meta"
    if not torch.cuda.is_available():
        return "torch sees no CUDA card; `--device cpu --reduced` tries the script, `--device meta` the shapes"
    count, number = torch.cuda.device_count(), int(device.partition(":")[2] or 0)
    return "" if number < count else f"{device} is not there; torch sees {count} card(s)"


if __name__ == "__main__":
    sys.exit(main())
