"""The log of a training run: one JSON object a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


class RunLog:
    """Appends records to a file and shows them on stderr."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, **values: Any) -> None:
        """Write one record."""
        line = json.dumps(values)
        with self._path.open("a") as file:
            file.write(line + "\n")
        print(line, file=sys.stderr, flush=True)
