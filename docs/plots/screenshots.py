"""Take the screenshots of the documentation in Chromium: ``python -m docs.plots.screenshots``.

Labels the photos of ``specs/quickstart.yaml``, opens the review page, and the Certify tab on a run of boxes above a
higher threshold, and writes ``docs/img/*.jpg``. The true boxes of the photos decide every answer about the certificate.
Needs playwright and Chromium; takes a few minutes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.evaluate.matching import match_boxes
from autolabel.evaluate.scenes import gather_scenes
from autolabel.results.ledger import read_labels

_ROOT = Path(__file__).resolve().parents[2]
_PICTURES = _ROOT / "docs" / "img"
_TRUTH = _ROOT / "examples" / "bccd" / "boxes.json"
_GOALS = ("--precision", "0.6", "--recall", "0.4")
_LAPTOP: Mapping[str, Any] = {"viewport": {"width": 1180, "height": 664}}
_DARK: Mapping[str, Any] = {**_LAPTOP, "color_scheme": "dark"}
_PHONE: Mapping[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
_CERTIFIED = "stages[0].scheduler.end=0.4"
_IN_THE_PICTURE = "BloodImage_00030.jpg"
_CHECKED_FIRST = 25
_QUALITY = 82


@dataclass(frozen=True)
class _Truth:
    """What is true of a run."""

    right: dict[tuple[str, tuple[float, ...]], bool] = field(default_factory=dict)
    missed: dict[str, list[list[float]]] = field(default_factory=dict)
    """Centres of the objects without a right box as fractions of the sides, by image."""

    def answer(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer about a unit of the certificate."""
        if unit["unit"] == "box":
            return {"id": unit["id"], "verdict": "yes" if self.right[unit["image"], tuple(unit["bbox"])] else "no"}
        return {"id": unit["id"], "missed": len(self.missed[unit["image"]])}


def _truth(run: Path) -> _Truth:
    """Compare a run with the true boxes of its photos."""
    truth, labels = _Truth(), read_labels(str(run))
    for scene, row in zip(gather_scenes(labels, str(_TRUTH)).scenes, labels, strict=True):
        matched = match_boxes(scene, 0.5)
        for box, found in zip(row.instances.boxes.round(3).tolist(), matched.tolist(), strict=True):
            truth.right[row.image.id, tuple(round(number, 3) for number in box)] = found >= 0
        height, width = row.image.size
        lost = [box for index, box in enumerate(scene.true.boxes.tolist()) if index not in matched]
        truth.missed[row.image.id] = [[(x1 + x2) / 2 / width, (y1 + y2) / 2 / height] for x1, y1, x2, y2 in lost]
    return truth


def _autolabel(*words: str) -> str:
    """Run a command in this process and return what it printed on standard output."""
    done = CliRunner().invoke(app, words)
    if done.exit_code:
        raise SystemExit(done.output)
    return done.stdout


def _certify(run: Path, truth: _Truth) -> str:
    """Answer units until the next one is an image that lacks two objects or more; return the image's name."""
    answers, count = run.parent / "answers.jsonl", _CHECKED_FIRST
    while units := json.loads(_autolabel("certify", str(run), *_GOALS, "--next", str(count), "--json")):
        if count == 1 and units[0]["unit"] == "image" and len(truth.missed[units[0]["image"]]) > 1:
            return str(units[0]["image"])
        answers.write_text("".join(json.dumps(truth.answer(unit)) + "\n" for unit in units), encoding="utf-8")
        _autolabel("certify", str(run), "--answers", str(answers), "--json")
        count = 1
    raise AssertionError("every image is complete")


@contextmanager
def _served(run: Path, *words: str) -> Iterator[str]:
    """Serve the review page of a run; yield its address."""
    command = [sys.executable, "-m", "autolabel", "review", str(run), "--no-browser", "--no-model", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", server.stdout.readline())
        try:
            yield found[0] if found else ""
        finally:
            server.terminate()


@contextmanager
def _page(browser: Any, address: str, ready: Sequence[str], options: Mapping[str, Any]) -> Iterator[Any]:
    """Open a page and wait until it shows what ``ready`` selects."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(address)
    for selector in (*ready, ".stage:not(.loading)"):
        page.wait_for_selector(selector, state="attached")
    yield page
    context.close()


def _save(page: Any, name: str) -> None:
    """Write what a page shows as ``docs/img/NAME.jpg``."""
    page.wait_for_timeout(500)
    with Image.open(BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(_PICTURES / f"{name}.jpg", quality=_QUALITY, optimize=True)


def _show_review(browser: Any, run: Path) -> None:
    """Keep a box, reject one, and show the third, on a laptop, on a phone and in dark colours."""
    ready = (".mode-correct .row", ".image-name bdi")
    with _served(run) as address:
        with _page(browser, address, ready, _LAPTOP) as page:
            page.keyboard.press("y")
            page.wait_for_selector(".box.keep", state="attached")
            page.keyboard.press("n")
            page.wait_for_selector(".box.reject", state="attached")
            _save(page, "review")
        for name, options in (("review-phone", _PHONE), ("review-dark", _DARK)):
            with _page(browser, address, ready, options) as page:
                page.keyboard.press("j")
                _save(page, name)


def _show_certificate(browser: Any, run: Path, missed: Sequence[Sequence[float]]) -> None:
    """Click on two objects without a box, on a laptop and on a phone."""
    with _served(run, "--next", "certificate", *_GOALS) as address:
        for name, options in (("certify", _LAPTOP), ("certify-phone", _PHONE)):
            with _page(browser, address, (".mode-certify .bound", ".ask[data-unit]"), options) as page:
                sheet = page.locator(".sheet").bounding_box()
                for x, y in missed[:2]:
                    page.mouse.click(sheet["x"] + x * sheet["width"], sheet["y"] + y * sheet["height"])
                _save(page, name)


def main() -> None:
    """Write the pictures."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        run, certified = Path(folder) / "cells", Path(folder) / "certified" / "cells"
        spec = str(_ROOT / "specs" / "quickstart.yaml")
        _autolabel("generate", spec, f"results_dir={run}", "--quiet")
        _autolabel("generate", spec, f"results_dir={certified}", _CERTIFIED, "--quiet")
        shutil.copy(run / "images_annotated" / _IN_THE_PICTURE, _PICTURES / "quickstart.jpg")
        truth = _truth(certified)
        image = _certify(certified, truth)
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            _show_review(browser, run)
            _show_certificate(browser, certified, truth.missed[image])
            browser.close()


if __name__ == "__main__":
    main()
