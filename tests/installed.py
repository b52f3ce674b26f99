"""A package that looks installed without pip."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_entry_point(folder: Path, name: str, module: str, *, version: str = "1") -> None:
    """Write what pip would note of the package ``autolabel-NAME``, whose strategies are in ``module``."""
    info = folder / f"autolabel_{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: autolabel-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[autolabel]\n{name} = {module}\n")


@contextmanager
def installed(folder: Path, name: str, module: str, *, source: Path) -> Iterator[str]:
    """Make ``module`` in ``source`` look installed, here and in processes started with this as PYTHONPATH."""
    write_entry_point(folder, name, module)
    paths = [str(folder), str(source)]
    sys.path[:0] = paths
    yield os.pathsep.join(paths)
    for path in paths:
        sys.path.remove(path)
