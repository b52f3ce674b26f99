"""A script that labels with several processes needs no ``if __name__ == "__main__"``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.specs import make_spec

SCRIPT = """
import sys
import autolabel
from pathlib import Path

with Path("started").open("a") as file:
    file.write("once\\n")
registry = autolabel.discover()
spec = autolabel.load_spec("spec.json", registry=registry)
summary = autolabel.generate(autolabel.compile_plan(spec, registry=registry), registry=registry)
assert sys.modules["__main__"].summary is summary
assert summary.rows == 5
"""


def test_a_script_without_a_guard_starts_workers(hazards_path: str, draw_photos: Any, tmp_path: Path) -> None:
    run = {"executor": "processes", "workers_per_device": 2, "shard_size": 2, "num_workers": 1}
    spec = make_spec(draw_photos(tmp_path / "photos", 5), tmp_path / "run", run=run)
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": hazards_path}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "started").read_text() == "once\n"
    assert any((tmp_path / "run" / "logs").glob("*.log"))  # one where a worker was done before the other had begun
