"""Write the parts of the documentation that are made from the code.

A page holds ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` on lines of their own; what stands between them is made
by the function of that name in ``SECTIONS``. Everything else in a page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.generate import annealing, api, border, commands, errors, example, looks, schedules, spec, tao

DOCS = Path(__file__).resolve().parents[1]
COMMAND = "python -m docs.generate"
SECTIONS: dict[str, Callable[[], str]] = {
    "spec": spec.sections,
    "strategies": spec.strategies,
    "commands": commands.commands,
    "thresholds": schedules.thresholds,
    "exit-codes": errors.exit_codes,
    "error-tree": errors.tree,
    "annealing-measured": annealing.measured,
    "annealing-ends": annealing.ends,
    "annealing-equal": annealing.equal,
    "annealing-rounds": annealing.rounds,
    "annealing-looks": looks.looks,
    "tao-mapped": tao.mapped,
    "tao-unused": tao.unused,
    "api": api.functions,
    "hooks": border.hooks,
    "methods": border.methods,
    "checks": border.checks,
    "example-project": example.project,
    "example-scheduler": example.scheduler,
    "example-detector": example.detector,
    "example-exporter": example.exporter,
    "example-hooks": example.hooks,
}
MARKS = re.compile(r"(^<!-- begin ([\w-]+) -->\n).*?(^<!-- end \2 -->$)", re.MULTILINE | re.DOTALL)


def pages() -> Iterator[Path]:
    """Yield the pages that have generated parts."""
    yield from (path for path in sorted(DOCS.glob("*.md")) if MARKS.search(path.read_text(encoding="utf-8")))


def filled(text: str) -> str:
    """Return a page with its generated parts made anew; raises KeyError for a part that nobody makes."""
    return MARKS.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]().strip()}\n\n{found[3]}", text)


def stale() -> list[Path]:
    """Return the pages whose generated parts are not what the code says."""
    return [path for path in pages() if filled(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")]


def write() -> list[Path]:
    """Bring every page up to date and return those that changed."""
    changed = stale()
    for path in changed:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    return changed
