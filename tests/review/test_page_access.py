"""The review page for everybody: pinched on a phone, read aloud, and with names that are made to break it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.journal import Journal
from autolabel.results.store import RunStore
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.review.page_visit import PHONE, Visit
from tests.specs import make_spec
from tests.web import Server

AXE = os.environ.get("AUTOLABEL_AXE")
PAYLOADS = (
    '<img src=x onerror="window.sin=1">',
    "</script><script>window.sin=1</script>",
    "a'\"`$(window.sin=1)",
    "‮cod.exe",
)


def pinch(here: Visit, start: float, end: float) -> None:
    """Put two fingers on the image ``start`` pixels apart, and move them to be ``end`` apart."""
    middle = here.page.locator(".stage").bounding_box()
    x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
    devtools = here.context.new_cdp_session(here.page)

    def touch(kind: str, apart: float) -> None:
        points = [{"x": x - apart / 2, "y": y, "id": 1}, {"x": x + apart / 2, "y": y, "id": 2}]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if kind != "touchEnd" else []})

    touch("touchStart", start)
    for step in range(1, 9):
        touch("touchMove", start + (end - start) * step / 8)
    touch("touchEnd", end)


def width(here: Visit) -> float:
    """Return how wide the image is on the screen."""
    return float(here.page.locator(".sheet").bounding_box()["width"])


def test_two_fingers_zoom_and_decide_nothing(
    run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]
) -> None:
    here = visit(serve("--order", "name").address, **PHONE)
    before = width(here)
    pinch(here, 80, 240)
    here.page.wait_for_function(f"document.querySelector('.sheet').getBoundingClientRect().width > {1.8 * before}")
    pinch(here, 240, 60)
    here.page.wait_for_function(f"document.querySelector('.sheet').getBoundingClientRect().width < {1.5 * before}")
    assert Journal(RunStore(run)).rows == {}, "fingers that zoom neither move boxes nor decide about them"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [{}, PHONE], ids=["laptop", "phone"])
def test_axe_finds_nothing_that_keeps_anybody_out(
    serve: Callable[..., Server], visit: Callable[..., Visit], scheme: str, screen: dict[str, Any]
) -> None:
    if AXE is None:
        pytest.skip("AUTOLABEL_AXE names no axe.min.js (npm install axe-core)")
    here = visit(serve("--order", "name").address, color_scheme=scheme, bypass_csp=True, **screen)
    here.keys("n", "y", "b", "Enter")
    here.saved()
    here.page.add_script_tag(path=AXE)
    found = here.page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})")
    told = [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']][:3]}" for one in found["violations"]]
    assert told == [] and len(found["passes"]) > 10
    here.page.keyboard.press("?")
    again = here.page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})")
    assert [one["id"] for one in again["violations"]] == []


@pytest.fixture
def hostile(tmp_path: Path, registry: Registry) -> Path:
    """A run whose classes and files have names that would be code if anything did not escape them."""
    from autolabel_colors import Rectangle, save

    for number, payload in enumerate(PAYLOADS):
        name = payload.replace("/", "∕")
        save(tmp_path / "photos" / f"{number}{name}.png", [Rectangle(2, 3, 20, 20, "red", 0.6)])
    classes = {"red": ["red"], **{name: [name] for name in PAYLOADS}}
    spec = make_spec(tmp_path / "photos", tmp_path / "run", classes=classes, export=[{"type": "coco"}])
    made = spec_from_mapping(spec, root=tmp_path, registry=registry)
    generate(compile_plan(made, registry=registry), registry=registry)
    return tmp_path / "run"


def test_names_that_are_code_are_shown_as_names(
    hostile: Path, start_server: Callable[..., Server], visit: Callable[..., Visit]
) -> None:
    server = start_server("review", str(hostile), "--no-browser", "--order", "name", "--reviewer", PAYLOADS[0])
    here = visit(server.address)
    for number, payload in enumerate(PAYLOADS):
        name = f"{number}{payload.replace('/', '∕')}"
        here.page.locator(".image-name", has_text=name).wait_for()
        assert name in here.name()
        here.page.locator(".boxes .box").first.click()
        here.page.keyboard.press(str(number + 2))
        here.mark("was red")
        assert here.page.locator(".boxes .box bdi").first.inner_text() == payload
        here.saved()
        here.keys("c")
    assert here.page.evaluate("window.sin") is None
    assert here.page.locator("img[src=x]").count() == 0 and len(Journal(RunStore(hostile)).rows) == len(PAYLOADS)
