"""The certificate through the page, in a real browser; skipped where Chromium or playwright is missing."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from autolabel.data.coco.read import read_coco
from autolabel.plan import plan_file
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results import record, seal
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image, Instances, Labels, Prompt
from tests.certify.true_run import Truth
from tests.specs import make_spec
from tests.web import Server

Make = Callable[..., Truth]
UNIT = "document.querySelector('.ask').dataset.unit"


@pytest.fixture
def serve(start_server: Callable[..., Server]) -> Callable[..., Server]:
    def start(run: Truth, *options: str) -> Server:
        return start_server("review", str(run.root), "--no-browser", "--no-model", *options)

    return start


class Person:
    """Answers on the page what is true, by keys and clicks."""

    def __init__(self, browser: Any, run: Truth) -> None:
        self.run, self.browser = run, browser
        self.context: Any = None
        self.sins: list[str] = []

    def visit(self, address: str, **options: Any) -> None:
        self.leave()
        self.context = self.browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.sins.append(str(error)))
        self.page.on("console", self.note)
        self.page.goto(address)
        self.page.wait_for_selector(".mode-certify .bound")

    def note(self, message: Any) -> None:
        if message.type in ("error", "warning") and "net::ERR_" not in message.text:
            self.sins.append(message.text)

    def leave(self) -> None:
        if self.context is not None:
            self.context.close()

    def asked(self) -> dict[str, Any]:
        """Return the unit that is asked: its name, image and corners are on the page for the tests of others too."""
        self.page.wait_for_function("document.querySelector('.ask').dataset.unit !== undefined")
        data: dict[str, str] = self.page.locator(".ask").evaluate("node => ({...node.dataset})")
        corners = [float(number) for number in data["bbox"].split()] if data.get("bbox") else []
        return {"id": data["unit"], "image": data["image"], "unit": data["kind"], "bbox": corners}

    def answer(self) -> str:
        """Answer one unit, wait until the page says that it is on disk and asks for another; return its name."""
        unit = self.asked()
        said = self.run.answer(unit)
        if unit["unit"] == "box":
            self.page.keyboard.press("y" if said["verdict"] == "yes" else "n")
        else:
            frame = self.page.locator(".sheet").bounding_box()
            for number in range(said["missed"]):
                x, y = 0.1 + 0.1 * (number % 8), 0.1 + 0.1 * (number // 8 % 8)
                self.page.mouse.click(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
            self.page.keyboard.press("Enter")
        self.page.wait_for_function(f"name => {UNIT} !== name", arg=unit["id"])
        return str(unit["id"])


@pytest.fixture
def person(browser: Any) -> Iterator[Callable[[Truth], Person]]:
    people: list[Person] = []

    def make(run: Truth) -> Person:
        people.append(Person(browser, run))
        return people[-1]

    yield make
    for one in people:
        one.leave()
        assert one.sins == []


def certificate(run: Truth) -> bytes:
    run.certify("--json")
    return (run.root / "certificate" / "certificate.json").read_bytes()


def visited(run: Truth, who: Person, serve: Callable[..., Server], *, answers: int, kills: tuple[int, ...]) -> bytes:
    """Answer so many units on the page, with the server killed after some of them; return the certificate."""
    options = ("--next", "certificate", "--precision", "0.9", "--recall", "0.8")
    server = serve(run, *options)
    who.visit(server.address)
    for number in range(answers):
        if number in kills:
            server.stop(signal.SIGKILL)
            server = serve(run, *options)
            who.visit(server.address)
        who.answer()
    server.stop()
    return certificate(run)


def test_killed_twice_it_is_the_certificate_of_an_uninterrupted_visit(
    make_run: Make, person: Callable[[Truth], Person], serve: Callable[..., Server]
) -> None:
    broken, whole = make_run(40, missed=0.3, name="broken"), make_run(40, missed=0.3, name="whole")
    found = [
        visited(run, person(run), serve, answers=45, kills=kills) for run, kills in ((broken, (13, 31)), (whole, ()))
    ]
    assert found[0] == found[1]
    state = broken.certify("--json")
    assert state["checked"] == 45 and state["images"]["missed"] > 0
    assert state["precision"]["at_least"] <= broken.precision
    assert broken.certify("--json")["boxes"]["waiting"] + state["images"]["waiting"] < 20


def test_the_page_says_what_is_certain(
    make_run: Make, person: Callable[[Truth], Person], serve: Callable[..., Server]
) -> None:
    run = make_run(8, wrong=0, missed=0)
    server = serve(run, "--next", "certificate", "--precision", "0.8")
    who = person(run)
    who.visit(server.address)
    assert "not stated yet" in who.page.locator(".bound[data-name=Precision]").inner_text()
    first = who.answer()
    who.page.keyboard.press("z")
    who.page.wait_for_function(f"name => {UNIT} === name", arg=first)
    for _ in range(24):
        who.answer()
    who.page.wait_for_selector("text=Everything is checked.")
    bound = who.page.locator(".bound[data-name=Precision]").inner_text()
    assert "100 % exactly" in bound and "80 % is certified" in bound
    assert "exactly 100 % of the 24 boxes are right" in server.stop().lower()


def test_an_image_that_cannot_be_shown_is_answered_by_cannot_tell_alone(
    make_run: Make, person: Callable[[Truth], Person], serve: Callable[..., Server]
) -> None:
    run = make_run(8, wrong=0)
    for photo in (run.root.parent / f"{run.root.name}-photos").iterdir():
        photo.unlink()
    who = person(run)
    who.visit(serve(run, "--next", "certificate").address)
    unit = who.asked()
    who.page.wait_for_function("document.querySelector('.missing').textContent !== ''")
    for key in ("y", "n", "Enter"):
        who.page.keyboard.press(key)
    who.page.wait_for_selector("text=The image cannot be shown: nobody can tell what is in it.")
    assert who.asked()["id"] == unit["id"]
    who.page.keyboard.press("t")
    who.page.wait_for_function(f"name => {UNIT} !== name", arg=unit["id"])
    who.page.goto("about:blank")
    assert all("404 (Not Found)" in sin for sin in who.sins)
    who.sins.clear()


def test_a_run_whose_images_were_not_named_here_is_not_certified(
    make_run: Make, person: Callable[[Truth], Person], serve: Callable[..., Server], browser: Any
) -> None:
    run = make_run(4)
    (run.root / seal.SEAL).unlink()
    page = browser.new_page()
    page.goto(serve(run, "--next", "certificate").address)
    page.wait_for_selector("text=the folders of its images are unknown on this machine")
    assert not (run.root / "certificate" / "journal.jsonl").exists()
    page.close()


def test_on_a_phone_with_a_finger(
    make_run: Make, person: Callable[[Truth], Person], serve: Callable[..., Server]
) -> None:
    run = make_run(8, wrong=0)
    who = person(run)
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    who.visit(serve(run, "--next", "certificate").address, **phone)
    unit = who.asked()
    who.page.get_by_role("button", name="Yes").tap()
    who.page.wait_for_function(f"name => {UNIT} !== name", arg=unit["id"])
    width = who.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "nothing sticks out"


def test_a_correction_ends_the_draw_and_the_page_draws_anew(
    make_run: Make, person: Callable[[Truth], Person], serve: Callable[..., Server]
) -> None:
    run = make_run(20)
    run.check(30)
    image, box = next(
        (row["image"], box)
        for row in labels_of(run)
        for box in row["instances"]
        if (row["image"], tuple(box["bbox"])) not in run.wrong
    )
    reject(run, image, box)
    who = person(run)
    who.visit(serve(run, "--next", "certificate").address)
    assert "does not hold" in who.page.locator(".change").inner_text()
    who.page.get_by_role("button", name="Draw anew").click()
    who.page.wait_for_selector(".change", state="detached")
    assert who.page.locator("#work-done").inner_text().startswith(tuple("123456789"))


def labels_of(run: Truth) -> Iterator[dict[str, Any]]:
    for line in (run.root / "labels.jsonl").read_text().splitlines():
        yield json.loads(line)


def reject(run: Truth, image: str, box: dict[str, Any]) -> None:
    decision = {"image": image, "bbox": box["bbox"], "phrase": box["phrase"], "verdict": "reject"}
    (run.root / "review.json").write_text(json.dumps({"plan": "p", "decisions": [decision]}))


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = ("bccd", "cards", "aquarium", "vegetables", "pears", "cherries", "boards", "nuts", "fruits", "openimages5")


@pytest.mark.soak
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared photos")
def test_two_thousand_photos_certified_with_two_kills(
    person: Callable[[Truth], Person], serve: Callable[..., Server], registry: Registry, tmp_path: Path
) -> None:
    """Precision and recall of labels with planted errors, until both are certified; the server is killed twice."""
    found = []
    broken, whole = (planted(tmp_path / name, registry) for name in ("broken", "whole"))
    for run, kills in ((broken, (60, 170)), (whole, ())):
        who, count = person(run), 0
        options = ("--next", "certificate", "--precision", "0.9", "--recall", "0.8")
        server = serve(run, *options)
        who.visit(server.address)
        while who.page.locator(".todo.done").count() < 2:
            if count in kills:
                server.stop(signal.SIGKILL)
                server = serve(run, *options)
                who.visit(server.address)
            who.answer()
            count += 1
        server.stop()
        found.append(certificate(run))
        assert count > max(kills, default=0)
    assert found[0] == found[1]
    state = broken.certify("--json")
    assert state["certified"] and state["images"]["units"] == 2000
    assert state["precision"]["at_least"] <= broken.precision and state["recall"]["at_least"] <= broken.recall
    print(state["sentence"], f"{state['minutes']['spent']:.0f} minutes by the model")  # noqa: T201


def planted(folder: Path, registry: Registry, images: int = 2000) -> Truth:
    """Make a run of photos of all sets, some of them more than once, from their true boxes with planted errors."""
    g, run, photos = np.random.default_rng(5), Truth(folder / "run"), folder / "photos"
    photos.mkdir(parents=True)
    truths = [(name, read_coco(path)) for name in SETS for path in sorted((SHARED / name).glob("*.json"))]
    rows = [(name, image, objects, coco.categories) for name, coco in truths for image, objects in coco.by_image()]
    classes = sorted({name for _, _, _, names in rows for name in names.values()})
    lines = {}
    for number in range(images):
        name, image, objects, names = rows[number % len(rows)]
        file = f"{number:04}{Path(image.file_name).suffix}"
        shutil.copyfile(SHARED / name / "images" / Path(image.file_name).name, photos / file)
        with PIL.Image.open(photos / file) as opened:
            width, height = opened.size
        boxes, labels, missed = [], [], 0
        for one in objects:
            x, y, w, h = one.bbox
            if g.random() < 0.07:
                missed += 1
            elif w > 1 and h > 1:
                boxes.append([x, y, min(x + w, width), min(y + h, height)])
                labels.append(classes.index(names[one.category_id]))
        made = Labels(
            image=Image(id=file, path="", size=(height, width)),
            prompt=Prompt(tuple(classes)),
            instances=Instances.build(boxes, scores=g.uniform(0.3, 1, len(boxes)), labels=labels),
        )
        line = record.encode_labels(made, "planted")
        lines[file] = line
        for box in json.loads(line)["instances"]:
            run.boxes += 1
            if g.random() < 0.03:
                run.wrong.add((file, tuple(box["bbox"])))
                missed += 1
        run.missed[file] = missed
    spec = make_spec(photos, run.root, classes=classes, export=[], report=False)
    plan = compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry).plan
    run.root.mkdir()
    (run.root / "plan.json").write_bytes(plan_file.encode_plan(plan))
    (run.root / seal.SEAL).write_text(seal.of_plan(plan))
    (run.root / "labels.jsonl").write_bytes(b"".join(lines[file] + b"\n" for file in sorted(lines)))
    return run
