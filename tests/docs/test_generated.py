"""What is made from the code is up to date."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs import generate
from docs.generate import MARKS, SECTIONS, schedules
from docs.plots import annealing, looks
from docs.plots.schedules import TARGET
from tests.since import since


@since("typer", "0.29", "it shows no types of arguments")
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


def carried(picture: Path) -> Any:
    """The numbers that a picture was drawn from."""
    described = re.search(r"<dc:description>(.*?)</dc:description>", picture.read_text(encoding="utf-8"), re.DOTALL)
    assert described is not None
    return json.loads(html.unescape(described[1]))


def test_the_picture_shows_the_numbers_of_the_code() -> None:
    assert carried(TARGET) == schedules.levels(), "run `python -m docs.plots.schedules`"


@pytest.mark.parametrize("name", annealing.PICTURES)
def test_the_pictures_of_annealing_show_the_last_measurement(name: str) -> None:
    picture = annealing.FOLDER / f"{name}.svg"
    assert carried(picture) == json.loads(annealing.described()), "run `python -m docs.plots.annealing`"


def test_the_picture_of_looks_shows_the_last_measurement() -> None:
    assert carried(looks.PICTURE) == json.loads(looks.described()), "run `python -m docs.plots.looks`"
