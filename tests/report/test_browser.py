"""The page in a real browser; skipped where Chromium or playwright is not installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.report.write import write_report
from autolabel.results.review import Review, apply_to_row, merge_reviews, read_review
from autolabel.types import Labels, Rle
from tests.report.rows import PAYLOADS, draw_picture, make_plan, make_row

BOXES = [[10, 20, 60, 80], [70, 30, 130, 100], [5, 5, 25, 25]]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


class Visit:
    """A page that is open, and everything it should not have done."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.sins: list[str] = []
        self.page.on("console", lambda message: self.sins.append(message.text))
        self.page.on("pageerror", lambda error: self.sins.append(str(error)))
        self.page.on("dialog", self.refuse)
        self.page.on("popup", lambda page: self.sins.append(page.url))
        self.page.on("request", self.note)
        self.page.goto(path.as_uri())

    def refuse(self, dialog: Any) -> None:
        self.sins.append(dialog.message)
        dialog.dismiss()

    def note(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:image/jpeg", "blob:")):
            self.sins.append(request.url)

    def keys(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def text(self, selector: str) -> str:
        found: str = self.page.locator(selector).inner_text()
        return found

    def waits_for(self, selector: str, text: str) -> None:
        """Return once an element shows this text; fails after playwright's own patience."""
        self.page.locator(selector, has_text=text).wait_for()

    def cards(self) -> list[str]:
        """Return the names on the cards, those out of sight too: the browser lays them out when it comes to it."""
        names: list[str] = self.page.locator(".cards .name").all_text_contents()
        return names

    def drawn(self, selector: str) -> int:
        """Count what is not hidden, wherever on the page."""
        shown = "node => !node || (getComputedStyle(node).display !== 'none' && shown(node.parentElement))"
        count: int = self.page.locator(selector).evaluate_all(
            f"nodes => {{ const shown = {shown}; return nodes.filter(shown).length }}"
        )
        return count

    def download(self, path: Path) -> Review:
        with self.page.expect_download() as waiting:
            self.page.locator("#download").click()
        assert waiting.value.suggested_filename == "review.json"
        waiting.value.save_as(path)
        return read_review(path)


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    visits: list[Visit] = []

    def go(path: Path, **options: Any) -> Visit:
        visits.append(Visit(browser, path, **options))
        return visits[-1]

    yield go
    for one in visits:
        one.context.close()
        assert one.sins == []


def street(folder: Path) -> list[Labels]:
    mask = np.zeros((120, 160), bool)
    mask[20:80, 10:60] = True
    path = draw_picture(folder / "a.jpg")
    masks = [Rle.encode(mask), None, None]
    return [
        make_row("a.jpg", BOXES, scores=[0.9, 0.5, 0.25], labels=[0, 0, 1], rounds=[0, 1, 2], masks=masks, path=path),
        make_row("b.jpg", BOXES[:1], scores=[0.3], labels=[1], rounds=[2], path=path),
        make_row("c.jpg", path=path),
        make_row("d.jpg", BOXES[1:], scores=[0.95, 0.8], path=path),
    ]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    coco = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 160, "height": 120},
            {"id": 2, "file_name": "b.jpg", "width": 160, "height": 120},
        ],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [11, 21, 50, 60]}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(coco))
    return write_report(street(tmp_path), make_plan(masks=True), tmp_path / "report", truth=tmp_path / "gt.json")


def test_harmful_texts_are_shown_as_they_are(tmp_path: Path, visit: Any) -> None:
    path = draw_picture(tmp_path / "x.jpg")
    rows = [
        make_row(f"{number:03d} {text}", BOXES[:1], phrases=(text,), caption=text, path=path)
        if number % 2
        else make_row(f"{number:03d} {text}", failure=("bad_name", text))
        for number, text in enumerate(PAYLOADS)
    ]
    plan = make_plan(name="<img src=x onerror=alert(1)>", classes=PAYLOADS)
    here = visit(write_report(rows, plan, tmp_path / "out"))
    here.page.locator("#draw-names").check()
    here.page.locator("#sort").select_option("name")
    assert here.page.locator(".cards li").count() == 50
    assert here.page.locator("h1").text_content() == "<img src=x onerror=alert(1)>"
    failed = here.page.locator("#failures td:nth-child(3)").all_text_contents()
    assert set(failed) == set(PAYLOADS[::2])
    names = here.page.locator(".cards .name").evaluate_all("nodes => nodes.map(node => node.title)")
    assert names == [row.image.id for row in rows[1::2]]
    here.page.locator(".cards .open").first.click()
    for text in PAYLOADS[1::2]:
        assert here.page.locator("#viewer-caption").text_content() == text
        assert here.page.locator("#boxes bdi").text_content() == text
        here.keys("y")
    here.keys("Escape")
    assert here.page.evaluate("document.querySelectorAll('script, style, iframe, link, object').length") == 3
    review = here.download(tmp_path / "review.json")
    assert {one.phrase for one in review.decisions} == set(PAYLOADS[1::2])


def test_review_by_keyboard(tmp_path: Path, report: Path, visit: Any) -> None:
    here = visit(report)
    assert here.page.locator("#download").is_disabled()
    here.keys("j", "Enter")
    assert here.text("#viewer-name") == "a.jpg"
    here.keys("n", "y", "y")
    assert here.text("#viewer-name") == "b.jpg"
    here.keys("n")
    assert here.text("#viewer-name") == "d.jpg"
    here.keys("Shift+N")
    assert here.text("#viewer-name") == "c.jpg"
    here.keys("Shift+Y", "Escape")
    assert here.page.evaluate("document.activeElement.className") == "open"
    assert here.text("#decided") == "6 decisions"
    review = here.download(tmp_path / "review.json")
    assert review.plan == "d" * 64
    assert [(one.image, one.bbox, one.phrase, one.verdict) for one in review.decisions] == [
        ("a.jpg", (5, 5, 25, 25), "dot", "reject"),
        ("a.jpg", (70, 30, 130, 100), "cell", "keep"),
        ("a.jpg", (10, 20, 60, 80), "cell", "keep"),
        ("b.jpg", (10, 20, 60, 80), "dot", "reject"),
        ("c.jpg", None, None, "keep"),
        ("d.jpg", None, None, "reject"),
    ]
    left = [len(apply_to_row(row, merge_reviews(Review(plan=""), review)).instances) for row in street(tmp_path)]
    assert left == [2, 0, 0, 0]


def test_decisions_outlive_the_visit_and_can_be_taken_back(tmp_path: Path, report: Path, visit: Any) -> None:
    here = visit(report)
    here.page.locator(".cards .open").first.click()
    here.keys("y")
    here.waits_for("#decided", "1 decision")
    here.page.reload()
    here.waits_for("#decided", "1 decision")
    here.page.locator(".cards .open").first.click()
    here.keys("u")
    here.page.locator("#close").click()
    assert here.page.locator("#download").is_disabled()


def test_earlier_decisions_are_shown_and_can_be_forgotten(tmp_path: Path, visit: Any) -> None:
    rows = street(tmp_path)
    earlier = Review.model_validate_json(
        '{"plan": "p", "decisions": [{"image": "b.jpg", "bbox": [10, 20, 60, 80], "phrase": "dot", "verdict": "keep"}]}'
    )
    here = visit(write_report(rows, make_plan(), tmp_path / "out", review=earlier))
    assert here.text("#decided") == "1 decision"
    here.page.locator("#show").select_option("decided")
    assert here.cards() == ["b.jpg"]
    here.page.locator(".cards .open").click()
    assert here.text("#boxes .badge") == "kept"
    here.keys("u", "Escape")
    here.page.locator("#nothing").wait_for()
    assert here.cards() == []
    review = here.download(tmp_path / "review.json")
    assert [one.verdict for one in review.decisions] == ["forget"]
    assert merge_reviews(earlier, review).decisions == ()


def test_boxes_lie_where_a_person_put_them_and_keep_their_name(tmp_path: Path, visit: Any) -> None:
    rows = street(tmp_path)
    said = {"image": "b.jpg", "phrase": "dot", "bbox": [10, 20, 60, 80], "verdict": "keep"}
    moved = {**said, "becomes": {"bbox": [50, 20, 100, 80], "phrase": "cell"}}
    drawn = {**said, "bbox": [100, 80, 150, 110]}
    whole = {"image": "b.jpg", "verdict": "checked"}
    earlier = Review.model_validate_json(json.dumps({"version": 2, "plan": "p", "decisions": [moved, drawn, whole]}))
    here = visit(write_report(rows, make_plan(), tmp_path / "out", review=earlier))
    here.page.locator("#show").select_option("decided")
    assert here.page.locator(".cards .badge").inner_text() == "✓ checked"
    edges = here.page.locator(".cards .shape rect").evaluate_all("nodes => nodes.map(node => node.getAttribute('x'))")
    assert sorted(edges) == ["100", "50"]
    assert here.page.locator("#download").is_disabled(), "nothing is new"
    here.page.locator(".cards .open").click()
    here.page.locator("#boxes button", has_text="cell").click()
    here.keys("n", "Escape")
    review = here.download(tmp_path / "review.json")
    assert [(one.phrase, one.bbox, one.verdict) for one in review.decisions] == [("dot", (10, 20, 60, 80), "reject")]


def test_filters_and_order(report: Path, visit: Any) -> None:
    here = visit(report)
    select = lambda id, value: here.page.locator(f"#{id}").select_option(value)  # noqa: E731
    assert here.cards() == ["a.jpg", "b.jpg", "d.jpg", "c.jpg"]
    here.page.locator("#threshold").fill("0.6")
    assert here.text("#shown").startswith("4 rows of 4, 3 boxes")
    select("show", "labelled")
    assert here.cards() == ["d.jpg", "a.jpg"]
    here.page.locator("#threshold").fill("0")
    select("phrase", label_index(here, "dot"))
    assert sorted(here.cards()) == ["a.jpg", "b.jpg"]
    assert here.drawn(".cards .shape") == 2
    select("phrase", "")
    select("round", "1")
    assert here.cards() == ["a.jpg"]
    select("round", "")
    select("sort", "boxes")
    assert here.cards() == ["a.jpg", "d.jpg", "b.jpg"]
    select("show", "empty")
    assert here.cards() == ["c.jpg"]
    select("show", "")
    select("sort", "name")
    select("colour", "round")
    assert here.cards() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    colours = here.page.locator(".cards li:first-child .shape").evaluate_all("nodes => nodes.map(n => n.classList[1])")
    assert colours == ["hue-2", "hue-1", "hue-0"]


def label_index(here: Visit, name: str) -> str:
    value: str = here.page.locator("#phrase option", has_text=name).get_attribute("value")
    return value


def test_ground_truth(report: Path, visit: Any) -> None:
    here = visit(report)
    assert here.text("#shown").endswith("against the truth 1 right, 3 too many, 0 missed")
    assert here.drawn(".cards .true rect") == 0
    here.page.locator("#draw-truth").check()
    assert here.drawn(".cards .true rect") == 1
    here.page.locator("#threshold").fill("0.95")
    assert "0 right, 0 too many, 1 missed" in here.text("#shown")
    here.page.locator("#show").select_option("differs")
    assert here.cards() == ["a.jpg"]


def test_boxes_and_masks_lie_over_the_picture(report: Path, visit: Any) -> None:
    here = visit(report)
    card = here.page.locator(".cards li").first
    card.scroll_into_view_if_needed()
    card.locator("img").wait_for()
    picture, box, mask = (card.locator(selector).first.bounding_box() for selector in ("img", "rect >> nth=2", "path"))
    assert abs(picture["width"] / picture["height"] - 160 / 120) < 0.02
    scale = picture["width"] / 160
    assert abs(box["x"] - picture["x"] - 10 * scale) < 3 and abs(box["width"] - 50 * scale) < 5
    assert abs(mask["x"] - box["x"]) < 4 and abs(mask["height"] - box["height"]) < 5
    here.page.locator("#draw-masks").uncheck()
    assert not card.locator("path").first.is_visible()
    here.page.locator("#draw-boxes").uncheck()
    assert not card.locator("rect").first.is_visible()


def test_single_keys_can_be_turned_off(report: Path, visit: Any) -> None:
    here = visit(report)
    here.page.locator("#shortcuts").uncheck()
    here.page.locator(".cards .open").first.focus()
    here.keys("Shift+N")
    assert here.page.locator("#download").is_disabled()


@pytest.mark.parametrize("options", [{}, PHONE, {"color_scheme": "dark"}, {**PHONE, "color_scheme": "dark"}])
def test_it_fits_the_screen_and_can_be_read(report: Path, visit: Any, options: dict[str, Any]) -> None:
    here = visit(report, **options)
    assert here.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pale = here.page.evaluate(CONTRAST)
    assert pale == []
    named = "n.ariaLabel || n.textContent.trim() || (n.labels && n.labels.length)"
    unnamed = f"nodes => nodes.filter(n => !({named})).map(n => n.outerHTML)"
    assert here.page.locator("button, select, input, summary").evaluate_all(unnamed) == []
    here.page.locator(".cards .open").first.click()
    assert here.page.evaluate(
        "(() => { const d = document.getElementById('viewer'); return d.scrollWidth <= d.clientWidth })()"
    )
    for button in ("#keep", "#reject-all", "#close", "#next"):
        box = here.page.locator(button).bounding_box()
        size = here.page.viewport_size
        assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"] and box["y"] + box["height"] <= size["height"]
        assert box["height"] >= (44 if "is_mobile" in options else 32)


CONTRAST = """() => {
  // WCAG 2's contrast of every text on the page against the nearest opaque background behind it; 4.5 is wanted.
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const colour = parse(getComputedStyle(n).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const out = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const style = getComputedStyle(node);
    if (!own || node.closest("svg, script, :disabled, .unseen, noscript") || !node.getClientRects().length) continue;
    const [a, b] = [light(parse(style.color)), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) out.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)}`);
  }
  return out;
}"""
