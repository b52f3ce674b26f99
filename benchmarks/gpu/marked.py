"""The tests that are marked for a device."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.made import ROOT
from benchmarks.gpu.part import Row, Setting


def measure(setting: Setting) -> Iterator[Row]:
    """Yield a row for each test, run on the device."""
    report = Path(setting.out, "tests.xml").resolve()
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--override-ini", "addopts=", "-q", "tests/gpu"]
    command += ["--import-mode=importlib", f"--junitxml={report}"]
    environment = os.environ | {"AUTOLABEL_TEST_DEVICE": setting.device}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not report.is_file():
        raise RuntimeError(f"pytest wrote no report: {(done.stdout + done.stderr)[-1000:]}")
    cases = list(Xml.parse(report).getroot().iter("testcase"))
    for case in cases:
        bad = [part for part in case if part.tag in ("failure", "error", "skipped")]
        row: Row = {"case": f"{case.get('name')}", "holds": not bad}
        yield row if not bad else {**row, "message": str(bad[0].get("message"))[:500]}
    yield {"case": "all of them", "tests": len(cases), "holds": bool(cases) and done.returncode == 0}
