"""One part of the GPU benchmark: what it measures, under which setting, and the file that its rows are kept in."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
"""A case with its figures. ``holds``, where it is there, says whether a check was passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all parts of a run share; a part that was finished under another setting is run again."""

    device: str
    """``cuda:0``, ``cpu`` or ``meta``."""
    reduced: bool
    """Whether networks and images are small: every part then ends in seconds on a CPU, and its figures mean nothing."""
    out: str
    """The folder of the JSON files, of the checkpoints made on the spot, and of the table."""
    oracles: str
    """The folder of the reference outputs; their part of ``parity`` is left out where it is missing."""

    @property
    def cuda(self) -> bool:
        """Return whether the device is a card."""
        return self.device.startswith("cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that one process measures."""

    name: str
    title: str
    measure: Callable[[Setting], Iterator[Row]]
    seconds: int
    """The longest that it may take on a card."""
    meta: bool = False
    """Whether it runs on the ``meta`` device, which has shapes and no values."""


def machine(device: str) -> dict[str, str]:
    """Return the names of the device, the processor and the libraries that decide the figures."""
    import torch
    import transformers

    named = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    return {"device": named, "processor": _processor(), "threads": str(torch.get_num_threads()), **versions}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def file_of(out: str, name: str) -> Path:
    """Return the JSON file of a part."""
    return Path(out) / f"{name}.json"


def is_finished(part: Part, setting: Setting) -> bool:
    """Return whether a part came to its end under this setting, and all that it checks holds."""
    kept = read(part.name, setting.out)
    return bool(kept) and kept["finished"] and kept["setting"] == _identity(setting)


def read(name: str, out: str) -> dict[str, Any]:
    """Return what is kept of a part, {} if nothing is or the file is torn."""
    try:
        content: dict[str, Any] = json.loads(file_of(out, name).read_text())
    except (OSError, ValueError):
        return {}
    return content


def run(part: Part, setting: Setting) -> list[Row]:
    """Measure a part; its file is written anew with each row, so that what was measured outlives a kill."""
    began, rows = time.monotonic(), []
    for row in _rows(part, setting):
        rows.append(row)
        _keep(part, setting, rows, seconds=time.monotonic() - began, finished=False)
    bad = any("error" in row or not row.get("holds", True) for row in rows)
    _keep(part, setting, rows, seconds=time.monotonic() - began, finished=not bad)
    return rows


def _rows(part: Part, setting: Setting) -> Iterator[Row]:
    """Yield a part's rows; an error is its last row, and the part is run again next time."""
    try:
        yield from part.measure(setting)
    except Exception as error:  # whatever a card, a driver or a compiler raises is the figure
        yield {"case": "the part itself", "error": f"{type(error).__name__}: {error}"[:2000]}


def _identity(setting: Setting) -> dict[str, Any]:
    return {"device": setting.device, "reduced": setting.reduced}


def _keep(part: Part, setting: Setting, rows: Iterable[Row], *, seconds: float, finished: bool) -> None:
    content = {
        "part": part.name,
        "title": part.title,
        "setting": _identity(setting),
        "machine": machine(setting.device),
        "finished": finished,
        "seconds": round(seconds, 1),
        "rows": list(rows),
    }
    path = file_of(setting.out, part.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_suffix(".part")
    torn.write_text(json.dumps(content, indent=1) + "\n")
    torn.replace(path)


def as_json(setting: Setting) -> str:
    """Return a setting for the command line of a part's process."""
    return json.dumps(asdict(setting))


def from_json(text: str) -> Setting:
    """Return the setting of a command line."""
    return Setting(**json.loads(text))
