"""What is made from the code is up to date."""

from __future__ import annotations

import html
import json
import re

from docs import generate
from docs.generate import MARKS, SECTIONS, schedules
from docs.plots.schedules import TARGET


def test_generated_parts_are_what_the_code_says() -> None:
    stale = [path.name for path in generate.stale()]
    assert not stale, f"{', '.join(stale)}: run `{generate.COMMAND}`"


def test_a_stale_part_is_noticed() -> None:
    page = "before\n<!-- begin thresholds -->\nold\n<!-- end thresholds -->\nafter\n"
    made = generate.filled(page)
    assert made != page
    assert made.startswith("before\n") and made.endswith("after\n")
    assert generate.filled(made) == made


def test_every_part_is_on_one_page() -> None:
    used = [found[2] for path in generate.pages() for found in MARKS.finditer(path.read_text(encoding="utf-8"))]
    assert sorted(used) == sorted(SECTIONS)


def test_the_picture_shows_the_numbers_of_the_code() -> None:
    described = re.search(r"<dc:description>(.*?)</dc:description>", TARGET.read_text(encoding="utf-8"), re.DOTALL)
    assert described is not None
    drawn = json.loads(html.unescape(described[1]))
    assert drawn == schedules.levels(), "run `python -m docs.plots.schedules`"
