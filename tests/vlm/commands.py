"""What tests of real servers run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from autolabel import compile_plan, generate, load_spec
from autolabel.registry import Registry


def run(path: Path, registry: Registry) -> list[dict[str, Any]]:
    """Run a spec and return its rows."""
    generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry)
    return [json.loads(line) for line in (path.parent / "out" / "labels.jsonl").read_text().splitlines()]


def doctor(spec: Path) -> str:
    """Return what the doctor prints."""
    words = [sys.executable, "-m", "autolabel", "doctor", "--endpoint", str(spec)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout
