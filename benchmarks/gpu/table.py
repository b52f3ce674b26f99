"""The table of all parts, in Markdown, and what failed in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_APART = ("case", "holds", "goal")
_Kept = Mapping[str, Any]


def written(kept: Iterable[_Kept]) -> str:
    """Return a section for each part that there are rows of."""
    sections = [_section(one) for one in kept if one]
    return "\n".join(sections) if sections else "nothing was measured\n"


def failures(kept: _Kept) -> list[str]:
    """Return a line for each check of a part that does not hold, and for each error."""
    lines = []
    for row in kept.get("rows", ()):
        if "error" in row:
            lines.append(f"{kept['part']}: {row['error']}")
        elif not row.get("holds", True):
            lines.append(f"{kept['part']}: does not hold: {row['case']}")
    return lines


def _section(kept: _Kept) -> str:
    """Return one part's heading, machine and table."""
    machine, state = kept["machine"], "" if kept["finished"] else ", not finished"
    reduced = ", reduced: the figures mean nothing" if kept["setting"]["reduced"] else ""
    head = (
        f"## {kept['title']}\n\n{machine['device']}, {machine['processor']}, torch {machine['torch']},"
        f" {kept['seconds']} s{state}{reduced}\n\n| case | figures | check |\n|---|---|---|\n"
    )
    return head + "".join(f"| {_cell(row['case'])} | {_figures(row)} | {_check(row)} |\n" for row in kept["rows"])


def _figures(row: _Kept) -> str:
    return "; ".join(_told(row))


def _told(row: _Kept) -> Iterator[str]:
    for name, value in row.items():
        if name not in _APART:
            yield f"{name.replace('_', ' ')} {_cell(f'{value:.4g}' if isinstance(value, float) else str(value))}"


def _check(row: _Kept) -> str:
    """Return whether a check holds, or a figure reaches the goal beside it."""
    if "error" in row:
        return "**failed**"
    if "holds" in row:
        return "holds" if row["holds"] else "**does not hold**"
    if "goal" in row:
        figure = next(value for name, value in row.items() if name.endswith("a_second"))
        return f"goal {row['goal']:g}: {'reached' if figure >= row['goal'] else '**missed**'}"
    return ""


def _cell(text: str) -> str:
    """Return text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")
