"""The example package passes its own tests, from its own folder."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "autolabel-colors"


def test_its_tests_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(PACKAGE)]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_its_entry_point_is_in_the_group_of_the_built_in_ones() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"autolabel": {"colors": "autolabel_colors"}}
    assert {point.value for point in entry_points(group="autolabel")} >= {"autolabel_schedulers"}
