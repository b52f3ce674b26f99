"""Kept candidates of the shipped detector: other thresholds give a fresh run's bytes without loading the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec

ROOT = Path(__file__).resolve().parents[2]
RELABEL = """
import sys
from autolabel.cli.app import main
sys.argv = ["autolabel", "generate", "-q", "--limit", "2", *sys.argv[1:]]
try:
    main()
finally:
    print("torch" in sys.modules)
"""


def spec(tmp_path: Path) -> Path:
    path = tmp_path / "cells.yaml"
    stage = {
        "labeler": {"type": "grounding_dino", "checkpoint": "tiny"},
        "scheduler": {"type": "step", "rounds": 3, "start": 0.5, "end": 0.25},
        "ask": "all",
    }
    data = {"images": [str(ROOT / "examples/bccd/images")], "classes": ["red blood cell", "platelet"]}
    run = {"threads": 1, "num_workers": 1, "executor": "inline"}
    whole = {"version": 1, "data": data, "stages": [stage], "run": run, "devices": "cpu", "export": []}
    path.write_text(json.dumps({**whole, "results_dir": "first"}))
    return path


def test_other_thresholds_and_aggregator_give_a_fresh_runs_bytes_without_the_model(
    registry: Registry, tmp_path: Path
) -> None:
    path, kept = spec(tmp_path), f"run.candidates={tmp_path / 'kept'}"
    changes = ["stages[0].scheduler.start=0.4", "stages[0].scheduler.end=0.3", "stages[0].aggregator.type=dbscan"]

    def fresh(out: str, *overrides: str) -> bytes:
        loaded = load_spec(path, overrides=[f"results_dir={tmp_path / out}", *overrides], registry=registry)
        generate(compile_plan(loaded, registry=registry, limit=2), registry=registry)
        return (tmp_path / out / "first-2" / "labels.jsonl").read_bytes()

    first = fresh("first", kept)
    words = [str(path), f"results_dir={tmp_path / 'second'}", kept, *changes]
    done = subprocess.run([sys.executable, "-c", RELABEL, *words], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("False\n"), done.stdout + done.stderr
    again = (tmp_path / "second" / "first-2" / "labels.jsonl").read_bytes()
    assert again == fresh("fresh", *changes) != first
    assert json.loads(again.splitlines()[0])["instances"]
