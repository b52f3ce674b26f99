"""Print which tools read which exports: ``python -m tests.clients [PYTHON]``; PYTHON is the one that has the tools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.clients.scene import build


def main(python: str = sys.executable) -> int:
    """Print the matrix; return 1 where a tool reads an export wrongly."""
    with TemporaryDirectory() as folder:
        build(Path(folder))
        command = [python, str(Path(__file__).with_name("readers.py")), folder]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    table = Table("export", "read by", "result", box=None)
    outcomes = [json.loads(line) for line in lines if line.startswith("[")]
    for export, tool, said in sorted(outcomes):
        table.add_row(export, tool, said)
    Console().print(table)
    wrong = [said for *_, said in outcomes if said not in ("right", "not installed")]
    right = sum(said == "right" for *_, said in outcomes)
    missing = len(outcomes) - right - len(wrong)
    Console().print(f"{right} right, {len(wrong)} wrong, {missing} not installed")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
