"""Tables on a terminal whose first column holds words, the others numbers."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text


def word_table(title: str, *columns: str) -> Table:
    """Return an empty table whose first column holds words; the title is shown literally."""
    made = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        made.add_column(name, justify="left" if number == 0 else "right")
    return made
