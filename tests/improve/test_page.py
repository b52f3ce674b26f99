"""The page of all rounds, as a person sees it in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autolabel.improve.improve import improve_run
from autolabel.improve.rounds import read_history
from autolabel.registry import Registry
from tests.web import launch


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launch()


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_of_two_rounds_is_whole_on_a_screen_and_on_a_phone(
    run: Path, learning: Registry, check: Callable[[Path, Sequence[int]], None], browser: Any, width: int
) -> None:
    check(run, range(20))
    for skill in (0.9, 0.1):
        improve_run(run, settings={"skill": skill}, registry=learning, told=lambda record: None)
    first, second = read_history(run).rounds
    page = browser.new_page(viewport={"width": width, "height": 800})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((run / "improve" / "index.html").as_uri())
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("tbody tr").count() == 2
    rows = page.locator("tbody tr").all()
    assert page.locator("table").is_visible()
    assert [row.locator("td").last.inner_text() for row in rows] == ["accepted", "not accepted"]
    assert page.locator("svg").count() == 3
    for drawn in page.locator("svg").all():
        box = drawn.bounding_box()
        assert box["width"] > 100 and box["x"] >= 0 and box["x"] + box["width"] <= width
        texts = [one.bounding_box() for one in drawn.locator("text").all()]
        assert all(one["x"] >= 0 and one["x"] + one["width"] <= width + 1 for one in texts)
    for name in first.check_next[:2]:
        assert page.get_by_text(name, exact=True).count() >= 1
    page.get_by_role("link", name="What changed").first.click()
    assert Path(first.after).name in page.content() and page.url.endswith("diff/index.html")
    assert all(table.is_visible() for table in page.locator("table").all()), "on a phone too"
    page.close()
    assert second.accepted is False
