"""Time the commands that need no model beside importing one, as a tool does that imports its model at the top."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = Path(__file__).resolve().parents[1] / "specs" / "quickstart.yaml"
IMPORT = "from transformers import GroundingDinoForObjectDetection"


def timed(command: list[str]) -> dict[str, float]:
    """Run a command; return its wall and CPU seconds. Raises where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def main() -> None:
    """Print the best of several turns of each command, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    tool = [sys.executable, "-m", "autolabel"]
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "--help": [*tool, "--help"],
            "validate": [*tool, "validate", os.fspath(SPEC)],
            "plan": [*tool, "plan", os.fspath(SPEC), f"results_dir={folder}/run"],
            "importing the model": [sys.executable, "-c", IMPORT],
        }
        turns = [{name: timed(command) for name, command in commands.items()} for _ in range(repeat)]
    best = {name: {kind: min(turn[name][kind] for turn in turns) for kind in ("wall", "cpu")} for name in commands}
    peer = best["importing the model"]
    print(f"best of {repeat} turns, load {os.getloadavg()[0]:.1f}")
    for name, took in best.items():
        print(f"  {name:20} {took['wall']:6.2f} s {took['cpu']:6.2f} CPU s {peer['cpu'] / took['cpu']:6.1f}x quicker")
    print(json.dumps({"benchmark": "startup", "repeat": repeat, "seconds": best}))


if __name__ == "__main__":
    main()
