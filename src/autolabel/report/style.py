"""The style sheets of pages, and of plots that stand alone."""

from __future__ import annotations

import re
from importlib.resources import files

_COLOURS, _PLOTS, _LAYOUT = "colours.css", "plots.css", "style.css"
_VARIABLE = re.compile(r"(--[\w-]+):\s*([^;}]+?)\s*[;}]")
_HUE = re.compile(r"\.([\w-]+) \{ --hue: var\((--[\w-]+)\) \}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_OWN_HUE = "--hue"
"""The variable of an element's own colour, which its ``hue-...`` class sets."""


def page_part(name: str) -> str:
    """Read a file of the pages."""
    return files("autolabel.report").joinpath("page", name).read_text(encoding="utf-8")


def page_style(*more: str) -> str:
    """Return the style sheet of a page, followed by the files ``more``."""
    return "".join(map(page_part, (_COLOURS, _LAYOUT, _PLOTS, *more)))


def plot_style() -> str:
    """Return the pages' rules for plots in light colours, without variables, which drawing programs do not know."""
    colours = page_part(_COLOURS)
    values = dict(_VARIABLE.findall(colours.partition("@media")[0]))
    hues = {name: values[value] for name, value in _HUE.findall(colours)}
    rules = []
    for selectors, declarations in _RULE.findall(page_part(_PLOTS)):
        places = [selector.strip() for selector in selectors.split(",")]
        if f"var({_OWN_HUE})" not in declarations:
            rules.append(_rule(places, declarations, values))
            continue
        for name, value in hues.items():
            rules.append(_rule([f"{place}.{name}" for place in places], declarations, values | {_OWN_HUE: value}))
    return "\n".join(rules)


def _rule(selectors: list[str], declarations: str, values: dict[str, str]) -> str:
    written = re.sub(r"var\((--[\w-]+)\)", lambda found: values[found[1]], declarations)
    return f"{', '.join(selectors)} {{{written}}}"
