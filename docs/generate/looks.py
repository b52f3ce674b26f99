"""What looks bring, as tables of the last measurement."""

from __future__ import annotations

from benchmarks.looks import read, table


def looks() -> str:
    """Return a table for each data set, with its name before it."""
    rows = read()
    parts = []
    for name in dict.fromkeys(row.data for row in rows):
        mine = [row for row in rows if row.data == name]
        parts.append(f"**{name}**, {mine[0].photos} photos:\n\n{table(mine)}")
    return "\n\n".join(parts)
